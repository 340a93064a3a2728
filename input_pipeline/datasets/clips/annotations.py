"""Reads clips from the annotation files of the data sets.

Each function reads the files of one data set. They lie in a folder or one
folder further down, as their archives unpack. The result holds the clips of
all splits whose files exist. A malformed file raises AnnotationError; an
unusable clip or video is passed to `skip` with a word for it.
"""

import dataclasses
import math
import pathlib

from avl_jax.features import Status
from input_pipeline.datasets import parsing
from input_pipeline.datasets.parsing import Skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
  """A piece of a video, `start` to `end` seconds, or the whole video.

  Attributes:
    id: of the clip; unique, except in data sets that name several clips alike.
    video: name of the file without its suffix.
    split: name of the split.
    start: seconds.
    end: seconds; infinite: until the end of the video.
    captions: evaluation takes the first one.
    task: the data set's name of the task.
  """

  id: str
  video: str
  split: str
  start: float = 0.0
  end: float = math.inf
  captions: tuple[str, ...] = ()
  task: str = ''


def read_youcook2(root: pathlib.Path, skip: Skip) -> list[Clip]:
  """Reads `youcookii_annotations_trainval.json`; ids are VIDEO_ID."""
  path = parsing.require(root, 'youcookii_annotations_trainval.json')
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
      times = parsing.parse_segment(
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


def read_msrvtt(root: pathlib.Path, skip: Skip) -> list[Clip]:
  """Reads lists of whole videos per split, and their sentences in a JSON.

  `MSRVTT_JSFUSION_test.csv` names the sentence that evaluation takes.
  """
  path = parsing.require(
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
    if not (path := parsing.find(root, name)):
      continue
    for video, *fixed in parsing.read_table(path, columns):
      others = [c for c in sentences.get(video, ()) if c not in fixed]
      if not (captions := (*fixed, *others)):
        skip(Status.MISSING, f'{video}: {path} has no sentence of it.')
        continue
      clips.append(Clip(id=video, video=video, split=split, captions=captions))
  return clips


def read_lsmdc(root: pathlib.Path, skip: Skip) -> list[Clip]:
  """Reads one clip per line: its name, four times in the film, a sentence.

  A clip with several sentences has several lines.
  """
  del skip
  files = {
    'train': parsing.find(root, 'LSMDC16_annos_training.csv'),
    'test': parsing.find(root, 'LSMDC16_challenge_1000_publictect.csv'),
  }
  if not any(files.values()):
    parsing.require(root, 'LSMDC16_annos_training.csv')
  return [
    Clip(id=clip, video=clip, split=split, captions=(sentence,))
    for split, path in files.items()
    if path
    for clip, *_, sentence in parsing.read_lines(path, '\t', 6)
  ]


SHORTEST, LONGEST = 5.0, 50.0  # seconds of a clip of YouCook-Japanese


def read_youcook_japanese(root: pathlib.Path, skip: Skip) -> list[Clip]:
  """Reads `youcook_japanese_v1.json`: {split: {video: [[start, end]]}}.

  The authors publish a list of videos under this name, and the times of the
  clips only in their pickles. If the value of a split is a list of videos, the
  times come from `youcook_japanese_clips.csv` (video,start,end). The clips
  have no captions; the thesis keeps clips of 5 to 50 s.
  """
  path = parsing.require(root, 'youcook_japanese_v1.json')
  data = parsing.read_json(path)
  splits = {
    split: parsing.field(path, 'the file', data, split, (dict, list))
    for split in ('train', 'val', 'eval')
  }
  segments: dict[str, list] = {}
  if not all(isinstance(videos, dict) for videos in splits.values()):
    table = parsing.require(root, 'youcook_japanese_clips.csv')
    for video, start, end in parsing.read_table(
      table, ['video', 'start', 'end']
    ):
      segments.setdefault(video, []).append([start, end])
  clips = []
  for split, listed in splits.items():
    videos = listed
    if isinstance(listed, list):
      videos = {str(video): segments.get(str(video), []) for video in listed}
    for video in videos:
      pieces = parsing.field(path, split, videos, video, list)
      if not pieces:
        skip(Status.MISSING, f'{video}: It has no times of clips.')
      for index, piece in enumerate(pieces):
        place = f'{video}_{index}'
        if not (times := parsing.parse_segment(path, place, piece, skip)):
          continue
        start, end = times
        if not SHORTEST <= end - start <= LONGEST:
          skip(
            Status.TOO_SHORT if end - start < SHORTEST else Status.REFUSED,
            f'{place}: {end - start:g} s. Expected {SHORTEST:g} to '
            f'{LONGEST:g} s.',
          )
          continue
        clips.append(
          Clip(id=place, video=video, split=split, start=start, end=end)
        )
  return clips
