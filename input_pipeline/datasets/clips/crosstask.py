"""Reads the annotation files of CrossTask."""

import itertools
import pathlib

from avl_jax.features import Status
from avl_jax.files import OutsideError, inside
from input_pipeline.datasets import parsing
from input_pipeline.datasets.clips.annotations import Clip
from input_pipeline.datasets.parsing import AnnotationError, Skip


def read_crosstask(root: pathlib.Path, skip: Skip) -> list[Clip]:
  """Reads the steps of the primary tasks; a caption is the name of a step.

  `videos.csv` lists all videos, `videos_val.csv` the ones of the validation
  set. Validation clips come from `annotations/TASK_VIDEO.csv`, made by
  hand. Training clips come from `crosstask_constraints/`, found in transcripts
  (thesis, section 2.2.3), or from `annotations/` if that folder is missing.
  """
  steps = _read_tasks(parsing.require(root, 'tasks_primary.txt'))
  val = _read_videos(parsing.require(root, 'videos_val.csv'))
  by_people = parsing.find(root, 'annotations')
  by_transcript = parsing.find(root, 'crosstask_constraints') or by_people
  clips = []
  for task, video in _read_videos(parsing.require(root, 'videos.csv')) | val:
    if task not in steps:
      continue  # related tasks have no annotations
    split = 'val' if (task, video) in val else 'train'
    folder = by_people if split == 'val' else by_transcript
    name = f'{task}_{video}'
    try:
      path = folder and inside(folder, f'{name}.csv')
    except OutsideError as error:
      skip(Status.UNSAFE_NAME, f'{name}: {error}')
      continue
    if not path or not path.is_file():
      skip(Status.MISSING, f'{name}: There is no {name}.csv.')
      continue
    clips += _read_steps(path, steps[task], split, skip)
  return clips


def _read_steps(
  path: pathlib.Path, steps: list[str], split: str, skip: Skip
) -> list[Clip]:
  """Reads the clips of a table TASK_VIDEO.csv: step, start, end."""
  task, _, video = path.stem.partition('_')
  clips = []
  for index, (step, *times) in enumerate(parsing.read_lines(path, ',', 3)):
    place = f'{path.stem}_{index}'
    number = parsing.parse_number(path, place, step)
    if number not in range(1, len(steps) + 1):
      raise AnnotationError(
        f'{path}: {place}: Expected a step from 1 to {len(steps)}, got '
        f'{step!r}.'
      )
    if times := parsing.parse_segment(path, place, times, skip):
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


def _read_videos(path: pathlib.Path) -> dict[tuple[str, str], None]:
  """Reads (task, video) of each line of a list of videos, in order."""
  return {
    (task, video): None for task, video, _ in parsing.read_lines(path, ',', 3)
  }


def _read_tasks(path: pathlib.Path) -> dict[str, list[str]]:
  """Reads task -> steps from blocks of id, title, address, count and steps."""
  try:
    lines = path.read_text('utf-8').splitlines()
  except (ValueError, OSError) as error:
    raise AnnotationError(f'{path}: Expected text: {error}.') from error
  tasks = {}
  for full, group in itertools.groupby(lines, lambda line: bool(line.strip())):
    if not full:
      continue
    block = [line.strip() for line in group]
    steps = [step.strip() for step in block[-1].split(',')]
    if len(block) != 5 or block[3] != str(len(steps)):
      raise AnnotationError(
        f'{path}: task {block[0]!r}: Expected five lines: id, title, address, '
        'number of steps, and that many steps, separated by commas.'
      )
    tasks[block[0]] = steps
  return tasks
