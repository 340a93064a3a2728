"""Where the clips of the data sets are: their own annotation files.

Each function reads the files of one data set below a folder, in it or one
folder further down (as their archives unpack), and returns the clips of all
splits whose files are there. A file that is not of the format raises; a clip
or video that cannot be used is given to `skip` with the reason.
"""

import dataclasses
import itertools
import math
import pathlib

from avl_jax import torch_files
from input_pipeline.datasets import parsing
from input_pipeline.datasets.parsing import AnnotationError, Skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
  """A piece of a video, `start` to `end` seconds, or all of it.

  Attributes:
    id: of the clip, unique but for data sets that name several alike.
    video: name of its file without the suffix.
    captions: what evaluation takes first.
    task: of the data set's own.
  """

  id: str
  video: str
  split: str
  start: float = 0.0
  end: float = math.inf
  captions: tuple[str, ...] = ()
  task: str = ''


def find(root: pathlib.Path, *names: str) -> pathlib.Path | None:
  """The first of the files below a folder, None if there is none."""
  for name in names:
    for path in (root / name, *sorted(root.glob(f'*/{name}'))):
      if path.exists():
        return path
  return None


def read_youcook2(root: pathlib.Path, skip: Skip) -> list[Clip]:
  """Clips of `youcookii_annotations_trainval.json`, by its own ids."""
  path = _find(root, 'youcookii_annotations_trainval.json')
  database = parsing.field(
    path, 'the file', parsing.read_json(path), 'database', dict
  )
  clips = []
  for video, entry in database.items():
    subset = parsing.field(path, video, entry, 'subset', str)
    split = {'training': 'train', 'validation': 'val'}.get(subset)
    if not split:
      continue
    task = parsing.field(path, video, entry, 'recipe_type', (str, int))
    for item in parsing.field(path, video, entry, 'annotations', list):
      number = parsing.field(path, video, item, 'id', int)
      place = f'{video}_{number}'
      times = parsing.segment(
        path, place, parsing.field(path, place, item, 'segment', list), skip
      )
      sentence = parsing.field(path, place, item, 'sentence', str)
      if times:
        clips.append(
          Clip(
            id=place,
            video=video,
            split=split,
            start=times[0],
            end=times[1],
            captions=(sentence,),
            task=str(task),
          )
        )
  return clips


def read_crosstask(root: pathlib.Path, skip: Skip) -> list[Clip]:
  """Steps of the primary tasks; the caption is the step's name.

  `videos.csv` lists all videos, `videos_val.csv` those of them that are the
  validation set. The clips of the latter are in `annotations/TASK_VIDEO.csv`,
  made by people; those of training in `crosstask_constraints/`, found in the
  transcripts (thesis, section 2.2.3), or where that folder is not there in
  `annotations/`, too.
  """
  steps = _read_tasks(_find(root, 'tasks_primary.txt'))
  val = _read_videos(_find(root, 'videos_val.csv'))
  by_people = find(root, 'annotations')
  by_transcript = find(root, 'crosstask_constraints') or by_people
  clips = []
  for task, video in _read_videos(_find(root, 'videos.csv')) | val:
    if task not in steps:
      continue  # a related task, which has no annotation
    split = 'val' if (task, video) in val else 'train'
    folder = by_people if split == 'val' else by_transcript
    name = f'{task}_{video}'
    try:
      path = folder and torch_files.inside(folder, f'{name}.csv')
    except torch_files.ReleaseError as error:
      skip('unsafe id', str(error))
      continue
    if not path or not path.is_file():
      skip('no annotation', name)
      continue
    clips += _read_steps(path, steps[task], split, skip)
  return clips


def _read_steps(
  path: pathlib.Path, steps: list[str], split: str, skip: Skip
) -> list[Clip]:
  """The clips of a table TASK_VIDEO.csv of CrossTask: step, start, end."""
  task, _, video = path.stem.partition('_')
  clips = []
  for index, (step, *times) in enumerate(parsing.lines(path, ',', 3)):
    place = f'{path.stem}_{index}'
    number = parsing.number_of(path, place, step)
    if number not in range(1, len(steps) + 1):
      raise AnnotationError(
        f'{path}: {place}: expected a step from 1 to {len(steps)}, got {step!r}'
      )
    if times := parsing.segment(path, place, times, skip):
      clips.append(
        Clip(
          id=place,
          video=video,
          split=split,
          start=times[0],
          end=times[1],
          captions=(steps[int(number) - 1],),
          task=task,
        )
      )
  return clips


def read_msrvtt(root: pathlib.Path, skip: Skip) -> list[Clip]:
  """Whole videos of the lists of a split, with the sentences of the JSON.

  `MSRVTT_JSFUSION_test.csv` says which sentence evaluation takes.
  """
  path = _find(
    root,
    'MSRVTT_data.json',
    'videodatainfo.json',
    'train_val_videodatainfo.json',
  )
  sentences: dict[str, list[str]] = {}
  data = parsing.read_json(path)
  for index, item in enumerate(
    parsing.field(path, 'the file', data, 'videos', list)
  ):
    place = f'videos[{index}]'
    sentences[parsing.field(path, place, item, 'video_id', str)] = []
  for index, item in enumerate(
    parsing.field(path, 'the file', data, 'sentences', list)
  ):
    place = f'sentences[{index}]'
    video = parsing.field(path, place, item, 'video_id', str)
    caption = parsing.field(path, place, item, 'caption', str)
    sentences.setdefault(video, []).append(caption)
  clips = []
  for split, name, columns in (
    ('train_7k', 'MSRVTT_train.7k.csv', ['video_id']),
    ('train_1ka', 'MSRVTT_train.9k.csv', ['video_id']),
    ('test', 'MSRVTT_JSFUSION_test.csv', ['video_id', 'sentence']),
  ):
    if not (path := find(root, name)):
      continue
    for video, *fixed in parsing.table(path, columns):
      others = [c for c in sentences.get(video, ()) if c not in fixed]
      if not (captions := (*fixed, *others)):
        skip('no annotation', f'{video} of {name}')
        continue
      clips.append(Clip(id=video, video=video, split=split, captions=captions))
  return clips


def read_lsmdc(root: pathlib.Path, skip: Skip) -> list[Clip]:
  """Whole clips, a line each: the clip, four times in the film, a sentence.

  A clip of several sentences has several lines.
  """
  del skip
  files = {
    'train': find(root, 'LSMDC16_annos_training.csv'),
    'test': find(root, 'LSMDC16_challenge_1000_publictect.csv'),
  }
  if not any(files.values()):
    _find(root, 'LSMDC16_annos_training.csv')
  return [
    Clip(id=clip, video=clip, split=split, captions=(sentence,))
    for split, path in files.items()
    if path
    for clip, *_, sentence in parsing.lines(path, '\t', 6)
  ]


SHORTEST, LONGEST = 5.0, 50.0  # seconds of a clip of YouCook-Japanese


def read_youcook_japanese(root: pathlib.Path, skip: Skip) -> list[Clip]:
  """Clips of `youcook_japanese_v1.json`: {split: {video: [[start, end]]}}.

  The authors publish their list of videos under this name and the times of
  the clips in their pickles alone. Where the value of a split is a list of
  videos, the times come from `youcook_japanese_clips.csv` (video,start,end).
  The clips have no captions; the thesis keeps those of 5 to 50 s.
  """
  path = _find(root, 'youcook_japanese_v1.json')
  data = parsing.read_json(path)
  splits = {
    split: parsing.field(path, 'the file', data, split, (dict, list))
    for split in ('train', 'val', 'eval')
  }
  segments: dict[str, list] = {}
  if not all(isinstance(videos, dict) for videos in splits.values()):
    table = _find(root, 'youcook_japanese_clips.csv')
    for video, start, end in parsing.table(table, ['video', 'start', 'end']):
      segments.setdefault(video, []).append([start, end])
  clips = []
  for split, listed in splits.items():
    videos = listed
    if isinstance(listed, list):
      videos = {str(video): segments.get(str(video), []) for video in listed}
    for video in videos:
      pieces = parsing.field(path, split, videos, video, list)
      if not pieces:
        skip('no annotation', video)
      for index, piece in enumerate(pieces):
        place = f'{video}_{index}'
        if not (times := parsing.segment(path, place, piece, skip)):
          continue
        if not SHORTEST <= times[1] - times[0] <= LONGEST:
          skip(f'not {SHORTEST:g} to {LONGEST:g} s', place)
          continue
        start, end = times
        clips.append(
          Clip(id=place, video=video, split=split, start=start, end=end)
        )
  return clips


def _find(root: pathlib.Path, *names: str) -> pathlib.Path:
  if path := find(root, *names):
    return path
  raise AnnotationError(
    f'no {" or ".join(names)} in {root} or a folder in it: put the annotations '
    'of the data set there, as its authors distribute them'
  )


def _read_videos(path: pathlib.Path) -> dict[tuple[str, str], None]:
  """(task, video) of each line of CrossTask's lists, in order."""
  return {(task, video): None for task, video, _ in parsing.lines(path, ',', 3)}


def _read_tasks(path: pathlib.Path) -> dict[str, list[str]]:
  """Task -> its steps: blocks of id, title, address, count and steps."""
  try:
    lines = path.read_text('utf-8').splitlines()
  except (ValueError, OSError) as error:
    raise AnnotationError(f'{path}: expected text: {error}') from error
  tasks = {}
  for full, group in itertools.groupby(lines, lambda line: bool(line.strip())):
    if not full:
      continue
    block = [line.strip() for line in group]
    steps = [step.strip() for step in block[-1].split(',')]
    if len(block) != 5 or block[3] != str(len(steps)):
      raise AnnotationError(
        f'{path}: task {block[0]!r}: expected five lines: id, title, address, '
        'number of steps, and so many steps with commas between'
      )
    tasks[block[0]] = steps
  return tasks
