"""Converts clips of the authors' feature pickles to the schema of records."""

import functools
import itertools
import math
import pathlib
from collections.abc import Callable

import numpy as np

from avl_jax import torch_files
from avl_jax.errors import UserError
from avl_jax.features import (
  MEL_BINS,
  MediaError,
  NoAudioError,
  NoPictureError,
  TooShortError,
)

AUDIO_KEY = 'audio'
VISUAL_WIDTH = 2048
# Keys of the visual vectors in the pickles, pooled over the clip.
VISUAL_KEYS = {
  'visual_2d': ('2d', '2d_pooled'),
  'visual_3d': ('3d', '3d_pooled'),
}


class PickledClips:
  """Clips of a data set in pickles, one file per split.

  Attributes:
    splits: the splits whose pickle exists.
  """

  def __init__(self, root: pathlib.Path, files: dict[str, str]):
    """Looks for the files (split -> name) without opening them."""
    self._paths = {split: root / file for split, file in files.items()}
    self.splits = [split for split, p in self._paths.items() if p.is_file()]

  def missing(self, split: str) -> str:
    """Names the file that a missing split lacks."""
    return self._paths[split].name

  def origin(self, split: str) -> str:
    """Describes the source of a split, for messages."""
    return f'in {self._paths[split].name}'

  def entries(self, split: str) -> list[tuple[str, Callable[[], dict]]]:
    """Lists (name, function that returns the record or raises) per clip."""
    path = self._paths[split]
    clips = torch_files.read_pickle(path)
    if not isinstance(clips, list):
      raise UserError(
        f'{path} holds a {type(clips).__name__}. Expected a list of clips.'
      )
    names = [f'{path.name}[{index}]' for index in range(len(clips))]
    return [
      (name, functools.partial(example_of, clip, name))
      for name, clip in zip(names, clips, strict=True)
    ]


def example_of(clip: dict, source: str) -> dict:
  """Converts a clip of the pickles (`youcook_dataloader.py`) to our schema.

  Args:
    clip: with 'id', 'audio' [40, T] dB, '2d' and '3d' [V] (or '2d_pooled',
      '3d_pooled'), 'caption' (a sentence, or a list of sentences with
      'eval_caption') and perhaps 'video_id', 'task', 'start', 'end'.
    source: of the clip, for the record.

  Returns:
    The record without its language.

  Raises:
    MediaError: a key is missing, or an array is not finite or of another
      shape; NoAudioError, NoPictureError: there is no array; TooShortError: it
      is empty.
  """
  if not isinstance(clip, dict) or 'id' not in clip:
    raise MediaError('Expected a dictionary with an id.')
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
    'spectrogram': _array(clip, (AUDIO_KEY,), (MEL_BINS, None)).T,
    'captions': ['' if c is None else str(c) for c in captions],
    'source': source,
    'start': _seconds(clip, 'start'),
    'end': _seconds(clip, 'end'),
  }
  for name, keys in VISUAL_KEYS.items():
    example[name] = _array(clip, keys, (VISUAL_WIDTH,))[None]
  return example


def _seconds(clip: dict, key: str) -> float:
  """Returns a time in seconds, NaN if there is none."""
  try:
    return float(clip.get(key, math.nan))
  except (OverflowError, TypeError, ValueError):
    return math.nan


def _array(
  clip: dict, keys: tuple[str, ...], expected: tuple[int | None, ...]
) -> np.ndarray:
  """Returns the float32 array of the first of `keys` that the clip has.

  Its shape must be `expected`, where None stands for any number but 0.
  """
  key = next((key for key in keys if key in clip), None)
  if key is None:
    missing = NoAudioError if keys[0] == AUDIO_KEY else NoPictureError
    raise missing(f'{clip["id"]} has no {keys[0]!r}.')
  title = f'{key} of {clip["id"]}'
  try:
    array = np.asarray(clip[key], np.float32)
  except (OverflowError, TypeError, ValueError) as error:
    raise MediaError(f'{title}: Expected numbers: {error}.') from error
  if array.ndim == len(expected) and not array.size:
    raise TooShortError(f'{title} is empty: its shape is {array.shape}.')
  if not array.size or array.shape != tuple(
    size if wanted is None else wanted
    for size, wanted in itertools.zip_longest(array.shape, expected)
  ):
    raise MediaError(
      f'{title} has the shape {array.shape}. Expected {expected}.'
    )
  if not np.isfinite(array).all():
    raise MediaError(f'{title} has infinite or NaN values.')
  return array
