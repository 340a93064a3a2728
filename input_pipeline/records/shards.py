"""Checks the files of a data set before it is read.

An ArrayRecord file ends with a footer that has the number of its records.
Opening a data set compares the footers with the metadata, which finds files
that are truncated, swapped or missing, and reads no record. Damage within a
file is found when its record is read.
"""

import pathlib
from collections.abc import Iterable
from concurrent import futures

from array_record.python import array_record_module
from tensorflow_datasets.core.utils.shard_utils import FileInstruction

from input_pipeline.records.bad_records import REMEDY, DataError

THREADS = 16  # files opened at a time, since storage may be far away


def check_shards(shards: Iterable[FileInstruction]) -> None:
  """Checks that every file has the expected number of records.

  Args:
    shards: files of a split, with the counts of the metadata.

  Raises:
    DataError: a file has another number, or cannot be opened.
  """
  with futures.ThreadPoolExecutor(THREADS) as pool:
    for _ in pool.map(check_shard, shards):
      pass


def check_shard(shard: FileInstruction) -> None:
  """Checks that a file has the expected number of records.

  Raises:
    DataError: the file has another number, or cannot be opened.
  """
  damage = _find_damage(pathlib.Path(shard.filename), shard.examples_in_shard)
  if damage:
    raise DataError(
      f'{shard.filename}: Expected {shard.examples_in_shard} records, but '
      f'{damage}. {REMEDY}'
    )


def _find_damage(path: pathlib.Path, expected: int) -> str:
  """Describes what is wrong with a file; '' if nothing is."""
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
  except Exception:  # ArrayRecord raises TypeError if there is no footer.
    return 'the file is truncated or corrupt'
  return '' if count == expected else f'the file has {count}'
