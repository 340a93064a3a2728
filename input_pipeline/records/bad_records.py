"""Records that cannot be used: their reasons, their number and their list."""

import collections
import json
import os
import pathlib
import threading
from collections.abc import Mapping

import numpy as np

from avl_jax import logs
from avl_jax.errors import UserError
from avl_jax.features import (
  FEATURE_RATES,
  HOP_LENGTH,
  MEL_BINS,
  SAMPLE_RATE,
  float16,
)
from avl_jax.files import write_atomically

# A clip in which so many features have room has more than one, if not pooled.
_LEAST_FEATURES = 3
REMEDY = (
  "Delete the data set's folder and run `python main.py --mode=prepare` with "
  'the same config, or copy the data set again.'
)


class DataError(UserError):
  """Records that are missing or not what the config expects."""


class BadRecordError(DataError):
  """A record that cannot be used; the message names it.

  Attributes:
    record: 'dataset', 'split', 'index' in the split, 'id' if known, 'reason'.
  """

  def __init__(self, record: Mapping, detail: str = ''):
    """Takes the description of the record and the cause, if there is one."""
    self.record, self._detail = dict(record), detail
    cause = f' ({detail})' if detail else ''
    super().__init__(f'{_describe(record)}{cause}. {REMEDY}')

  def __reduce__(self):
    return type(self), (self.record, self._detail)


def _describe(record: Mapping) -> str:
  name = f', {record["id"]!r},' if 'id' in record else ''
  return (
    f'Record {record["index"]}{name} of {record["dataset"]!r}, split '
    f'{record["split"]!r}, is bad: {record["reason"]}'
  )


def raise_if_bad(example: dict | BadRecordError) -> dict:
  """Returns an example; raises the error of a bad record in its place."""
  if isinstance(example, BadRecordError):
    raise example
  return example


def find_defect(example: Mapping) -> str:
  """Returns the reason why an example cannot be used, '' if it can.

  The reasons are few, so that bad records can be counted by reason.

  Args:
    example: with spectrogram [T, 40], visual_2d [S, V] and/or visual_3d
      [S', V'] and, if it was decoded, waveform [samples].
  """
  shape = example['spectrogram'].shape
  if len(shape) != 2 or not shape[0] or shape[1] != MEL_BINS:
    return 'spectrogram not [T, 40]'
  streams = [name for name in FEATURE_RATES if name in example]
  for name in streams:
    if example[name].ndim != 2 or not example[name].size:
      return f'{name} empty'
  waveform = example.get('waveform', np.zeros(1))
  if waveform.ndim != 1 or not waveform.size:
    return 'audio not [samples]'
  for name in ('spectrogram', *streams, 'waveform'):
    if name in example and not float16.is_finite(example[name]):
      return f'{name} not finite'
  return ''


def is_pooled(example: Mapping) -> bool:
  """Whether the visual features of a clip are one, pooled over several seconds.

  Those of the authors' pickles are. A still (which records have as 'image') has
  one feature too.

  Args:
    example: see `find_defect`.
  """
  seconds = len(example['spectrogram']) * HOP_LENGTH / SAMPLE_RATE
  return 'image' not in example and any(
    len(example[name]) == 1 and seconds * rate >= _LEAST_FEATURES
    for name, rate in FEATURE_RATES.items()
    if name in example
  )


class BadRecords:
  """The bad records found by a run, listed in a file; thread-safe.

  The file is JSON: 'counts', by reason, and 'records'. A resumed run continues
  the list.
  """

  def __init__(
    self, path: str | os.PathLike | None, maximum: int, host: int = 0
  ):
    """Reads the list if it exists; replaces a list that cannot be parsed.

    Args:
      path: of the list; None: the list is not saved.
      maximum: how many different bad records are tolerated.
      host: index of this process; other hosts than the first append it to the
        name of the list.

    Raises:
      DataError: the list has more.
    """
    self._path = _path_of_host(path, host)
    self._maximum = maximum
    self._lock = threading.Lock()
    self._records = _read_list(self._path) if self._path else {}
    self._check_number()

  def __len__(self) -> int:
    return len(self._records)

  @property
  def counts(self) -> dict[str, int]:
    """Reason -> number of different records, sorted by reason."""
    reasons = [record['reason'] for record in self._records.values()]
    return dict(sorted(collections.Counter(reasons).items()))

  def add(self, error: BadRecordError) -> None:
    """Adds a record to the list and prints a line, unless it is listed already.

    Raises:
      DataError: the list has more records than the maximum.
    """
    with self._lock:
      # Beyond the maximum, other threads need not add more records.
      full = len(self._records) > self._maximum
      if not full and _key(error.record) not in self._records:
        self._records[_key(error.record)] = error.record
        self._write()
        logs.write(
          f'{_describe(error.record)}; replaced by another record '
          f'({len(self._records)} of at most {self._maximum}).'
        )
      self._check_number()

  def _write(self) -> None:
    if self._path:
      records = [record for _, record in sorted(self._records.items())]
      listing = json.dumps(
        {'counts': self.counts, 'records': records},
        indent=2,
        ensure_ascii=False,
      )
      write_atomically(self._path, listing + '\n')

  def _check_number(self) -> None:
    if len(self._records) > self._maximum:
      counts = ', '.join(f'{n} x {why}' for why, n in self.counts.items())
      listed = delete = ''
      if self._path:
        listed = f' They are listed in {self._path}.'
        delete = ' Then delete that list.'
      raise DataError(
        f'Found {len(self._records)} bad records, more than train_data.'
        f'max_bad_records={self._maximum}: {counts}.{listed} Increase '
        f'train_data.max_bad_records, or repair the data: {REMEDY}{delete}'
      )


def _path_of_host(
  path: str | os.PathLike | None, host: int
) -> pathlib.Path | None:
  if path is None:
    return None
  path = pathlib.Path(path)
  return path.with_stem(f'{path.stem}_{host}') if host else path


def _key(record: Mapping) -> tuple[str, str, int]:
  return record['dataset'], record['split'], record['index']


def _read_list(path: pathlib.Path) -> dict[tuple[str, str, int], dict]:
  """The records of a list, by `_key`; {} if it is missing or not a list."""
  types = {'dataset': str, 'split': str, 'index': int, 'reason': str}
  try:
    records = json.loads(path.read_bytes())['records']
    for record in records:
      if any(type(record[name]) is not kind for name, kind in types.items()):
        raise TypeError('an entry is not a record')
    return {_key(record): record for record in records}
  except FileNotFoundError:
    return {}
  except (KeyError, TypeError, ValueError) as error:
    logs.write(
      f'{path} is not a list of bad records ({error}). Starting a new list.'
    )
    return {}
