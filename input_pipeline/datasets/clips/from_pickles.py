"""The authors' feature pickles: what they hold of a clip, in our schema."""

import functools
import itertools
import math
import pathlib
from collections.abc import Callable

import numpy as np

from avl_jax import torch_files
from avl_jax.errors import UserError
from avl_jax.features import MediaError

AUDIO_KEY = 'audio'
VISUAL_WIDTH = 2048
# The visual vectors' names in the pickles: pooled over the clip.
VISUAL_KEYS = {
  'visual_2d': ('2d', '2d_pooled'),
  'visual_3d': ('3d', '3d_pooled'),
}


class Pickled:
  """The pickles of a data set in a folder.

  Attributes:
    splits: those whose pickle is there.
    without: why a split is not made, for counting.
  """

  without = 'no file'

  def __init__(self, root: pathlib.Path, files: dict[str, str]):
    """Looks for the files, split -> name; they are not opened."""
    self._paths = {split: root / file for split, file in files.items()}
    self.splits = [split for split, p in self._paths.items() if p.is_file()]

  def missing(self, split: str) -> str:
    """What is not there of a split that is not made."""
    return self._paths[split].name

  def origin(self, split: str) -> str:
    """Where a split comes from, for people."""
    return f'in {self._paths[split].name}'

  def entries(self, split: str) -> list[tuple[str, Callable[[], dict]]]:
    """(name, function that makes the record or raises) of each clip."""
    path = self._paths[split]
    clips = torch_files.read_pickle(path)
    if not isinstance(clips, list):
      raise UserError(
        f'{path} holds a {type(clips).__name__}, expected a list of clips'
      )
    names = [f'{path.name}[{index}]' for index in range(len(clips))]
    return [
      (name, functools.partial(example_of, clip, name))
      for name, clip in zip(names, clips, strict=True)
    ]


class ClipError(MediaError):
  """A clip that cannot be used."""

  def __init__(self, reason: str, message: str):
    super().__init__(message)
    self.reason = reason


def example_of(clip: dict, source: str) -> dict:
  """A clip of the pickles (`youcook_dataloader.py`) in our schema.

  Args:
    clip: with 'id', 'audio' [40, T] dB, '2d' and '3d' [V] (or '2d_pooled',
      '3d_pooled'), 'caption' (a sentence, or a list of them with
      'eval_caption') and perhaps 'video_id', 'task', 'start', 'end'.
    source: where it is from.

  Returns:
    The record without its language.

  Raises:
    ClipError: a key is missing, or an array is empty, not finite or of
      another shape.
  """
  if not isinstance(clip, dict) or 'id' not in clip:
    raise ClipError('no id', 'expected a dictionary with an id')
  captions = clip.get('caption', '')
  captions = list(captions) if isinstance(captions, list) else [captions]
  if 'eval_caption' in clip:
    fixed = clip['eval_caption']
    captions = [fixed, *(c for c in captions if c != fixed)]
  if 'task' in clip:
    source = f'{source} task {clip["task"]}'
  example = {
    'id': str(clip['id']),
    'group': str(clip.get('video_id', clip['id'])),
    'spectrogram': _array(clip, (AUDIO_KEY,), (40, None)).T,
    'captions': ['' if c is None else str(c) for c in captions],
    'source': source,
    'start': _seconds(clip, 'start'),
    'end': _seconds(clip, 'end'),
  }
  for name, keys in VISUAL_KEYS.items():
    example[name] = _array(clip, keys, (VISUAL_WIDTH,))[None]
  return example


def _seconds(clip: dict, key: str) -> float:
  """A time, NaN where there is none."""
  try:
    return float(clip.get(key, math.nan))
  except (OverflowError, TypeError, ValueError):
    return math.nan


def _array(
  clip: dict, keys: tuple[str, ...], expected: tuple[int | None, ...]
) -> np.ndarray:
  """The float32 array of the first of `keys` that the clip has.

  Its shape must be `expected`, of which None is any number but 0.
  """
  key = next((key for key in keys if key in clip), None)
  if key is None:
    raise ClipError(f'no {keys[0]}', f'{clip["id"]} has no {keys[0]!r}')
  title = f'{key} of {clip["id"]}'
  try:
    array = np.asarray(clip[key], np.float32)
  except (OverflowError, TypeError, ValueError) as error:
    raise ClipError('unreadable', f'{title}: no numbers: {error}') from error
  if not array.size or array.shape != tuple(
    there if wanted is None else wanted
    for there, wanted in itertools.zip_longest(array.shape, expected)
  ):
    raise ClipError(
      'unreadable', f'{title} is {array.shape}, expected {expected}'
    )
  if not np.isfinite(array).all():
    raise ClipError('not finite', title)
  return array
