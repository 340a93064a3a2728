"""Counting a data set before it is read.

A file that was cut short, swapped or lost is found when the data set is opened:
it ends with a footer that knows its records. None is read for that; what is
damaged within the file is met when it is read.
"""

import pathlib
from collections.abc import Iterable
from concurrent import futures

from array_record.python import array_record_module
from tensorflow_datasets.core.utils.shard_utils import FileInstruction

from input_pipeline.records.bad_records import REMEDY, DataError

THREADS = 16  # files are opened at a time: they may be far away


def check_shards(shards: Iterable[FileInstruction]) -> None:
  """Raises DataError unless every file has as many records as it should.

  Args:
    shards: files of a split, with the counts of the metadata.
  """
  with futures.ThreadPoolExecutor(THREADS) as pool:
    for _ in pool.map(check_shard, shards):
      pass


def check_shard(shard: FileInstruction) -> None:
  """Raises DataError unless the file has as many records as it should."""
  fault = _fault(pathlib.Path(shard.filename), shard.examples_in_shard)
  if fault:
    raise DataError(
      f'{shard.filename}: expected {shard.examples_in_shard} records, but '
      f'{fault}; {REMEDY}'
    )


def _fault(path: pathlib.Path, expected: int) -> str:
  """What is wrong with a file, '' if nothing is."""
  try:
    with path.open('rb') as file:
      if not file.read(1):
        return 'the file is empty'
  except OSError as error:
    return f'it cannot be opened: {error.strerror}'
  try:
    reader = array_record_module.ArrayRecordReader(
      str(path), options='readahead_buffer_size:0,max_parallelism:0'
    )
    count = reader.num_records()
    reader.close()
  except Exception:  # A TypeError, of all things, where the footer is not.
    return 'the file is cut short or garbled'
  return '' if count == expected else f'the file has {count}'
