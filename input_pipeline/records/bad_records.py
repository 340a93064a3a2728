"""Records that are not what they must be: which, why and how many."""

import collections
import json
import os
import pathlib
import threading
from collections.abc import Mapping

import numpy as np
import tqdm

from avl_jax.errors import UserError
from avl_jax.features import FEATURE_RATES, MEL_BINS, float16
from avl_jax.files import write_atomically

REMEDY = (
  "delete the data set's folder and run `python main.py --mode=prepare` with "
  'the same config, or copy the data set anew'
)


class DataError(UserError):
  """Records that are missing or not what they must be."""


class BadRecordError(DataError):
  """A record that cannot be used; the message names it.

  Attributes:
    record: its 'dataset', 'split', 'index' there, 'id' if known and 'reason'.
  """

  def __init__(self, record: Mapping, detail: str = ''):
    self.record = dict(record)
    because = f' ({detail})' if detail else ''
    super().__init__(f'{_describe(record)}{because}; {REMEDY}')


def _describe(record: Mapping) -> str:
  name = f', {record["id"]!r},' if 'id' in record else ''
  return (
    f'record {record["index"]}{name} of {record["dataset"]!r}, split '
    f'{record["split"]!r}, is bad: {record["reason"]}'
  )


def good(example: dict | BadRecordError) -> dict:
  """The example; raises what stands in the place of one."""
  if isinstance(example, BadRecordError):
    raise example
  return example


def fault(example: Mapping) -> str:
  """Why an example cannot be used, in words to count by; '' if it can.

  Args:
    example: with spectrogram [T, 40], visual_2d [S, V] and/or visual_3d
      [S', V'] and, where it is needed, waveform [samples].
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


class BadRecords:
  """The bad records that a run has met, listed in a file; thread-safe.

  The file is JSON: 'counts', by reason, and 'records'. A restarted run goes on
  counting from it.
  """

  def __init__(self, path: str | os.PathLike | None, maximum: int):
    """Reads the list if there is one; one that is garbled is begun anew.

    Args:
      path: of the list; None: it is not kept.
      maximum: how many different bad records are tolerated.

    Raises:
      DataError: the list has more.
    """
    self._path = pathlib.Path(path) if path is not None else None
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
    """Counts and lists a record, and prints a line, if it is a new one.

    Raises:
      DataError: there are more than the maximum.
    """
    with self._lock:
      # Beyond the maximum, other threads need not find more of them.
      full = len(self._records) > self._maximum
      if not full and _key(error.record) not in self._records:
        self._records[_key(error.record)] = error.record
        self._write()
        tqdm.tqdm.write(
          f'{_describe(error.record)}; others take its place '
          f'({len(self._records)} so far, at most {self._maximum})'
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
      where, begin = '', ''
      if self._path:
        where, begin = f', listed in {self._path}', ' and delete that list'
      raise DataError(
        f'{len(self._records)} bad records, more than train_data.'
        f'max_bad_records={self._maximum}: {counts}{where}. Repair the data '
        f'({REMEDY}){begin}, or allow more'
      )


def _key(record: Mapping) -> tuple[str, str, int]:
  return record['dataset'], record['split'], record['index']


def _read_list(path: pathlib.Path) -> dict[tuple[str, str, int], dict]:
  """The records of a list, by `_key`; none if it is missing or garbled."""
  types = {'dataset': str, 'split': str, 'index': int, 'reason': str}
  try:
    records = json.loads(path.read_bytes())['records']
    for record in records:
      if any(type(record[name]) is not kind for name, kind in types.items()):
        raise TypeError('a record of the list is not one')
    return {_key(record): record for record in records}
  except FileNotFoundError:
    return {}
  except (KeyError, TypeError, ValueError) as error:
    tqdm.tqdm.write(f'{path} is not a list of bad records ({error}): a new one')
    return {}
