"""Collates clips into batches, and checks that records have what they need."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from avl_jax import features
from input_pipeline.records.bad_records import DataError
from input_pipeline.records.buffers import ArrayPool
from input_pipeline.records.reader import Records
from input_pipeline.schema import Batch

_POOL = ArrayPool()


def check_streams(streams: Sequence[str], records: Records) -> tuple[str, ...]:
  """Checks that the records have the streams; returns them as a tuple.

  Args:
    streams: names of visual features, or ('image',).
    records: of the batches.

  Raises:
    DataError: `streams` names something else, or the records have none of the
      streams.
  """
  streams = tuple(streams)
  if streams != features.IMAGE and (
    not streams or set(streams) - set(features.STREAMS)
  ):
    raise DataError(
      f'Unknown streams {streams}. Choose some of {features.STREAMS}, or '
      f'{features.IMAGE} for a model with an image encoder.'
    )
  if not records.features & set(streams):
    raise DataError(
      f'The records have no {" or ".join(streams)}. They have '
      f'{", ".join(sorted(records.features))}. Choose other streams '
      '(train_data.streams, eval_data.streams).'
    )
  return streams


def check_shares(batch_size: int, hosts: int) -> None:
  """Raises DataError unless hosts can share a batch evenly."""
  if batch_size % hosts:
    raise DataError(
      f'A batch of {batch_size} cannot be shared by {hosts} hosts. Choose a '
      'train_data.batch_size that is a multiple of their number.'
    )


def check_options(
  words: Mapping,
  clips_per_example: int,
  min_time: float,
  streams: Sequence[str],
) -> None:
  """Raises DataError if options of a training exclude each other.

  See `train.train_batches` for the arguments.
  """
  if words['vectors'] and clips_per_example and not min_time:
    raise DataError(
      'Windows that are cut anywhere have no words. Set train_data.min_time to '
      'the seconds of a clip, to cut windows around captions, or set '
      "words.vectors=''."
    )
  if tuple(streams) == features.IMAGE and clips_per_example:
    raise DataError(
      'Windows cannot be cut from a picture. Set '
      'train_data.clips_per_example=0, or choose visual features in '
      'train_data.streams.'
    )


def stack(clips: Iterable[Mapping], count: int) -> Batch:
  """Stacks clips into a batch while an iterator makes them, one at a time.

  Args:
    clips: `count` clips with the same names: name -> array, number or text.
    count: N.

  Returns:
    name -> [N, ...], equal to np.stack's, aligned for TensorFlow.
  """
  arrays: dict[str, np.ndarray] = {}
  texts: dict[str, list[str]] = {}
  for place, clip in enumerate(clips):
    for name, value in clip.items():
      if isinstance(value, str):
        texts.setdefault(name, []).append(value)
      else:
        if not place:
          arrays[name] = _POOL.empty((count, *value.shape), value.dtype)
        arrays[name][place] = value
  return arrays | {name: np.asarray(rows) for name, rows in texts.items()}


def fill(
  arrays: Mapping[str, np.ndarray], first: int, clips: Iterable[Mapping]
) -> list[str]:
  """Writes clips into rows of arrays; returns their ids.

  Args:
    arrays: name -> [N, ...], all but the ids.
    first: row of the first clip.
    clips: name -> array, number or text.
  """
  names = []
  for row, clip in enumerate(clips, first):
    for name, array in arrays.items():
      array[row] = clip[name]
    names.append(clip['id'])
  return names
