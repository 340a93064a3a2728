"""Damaged files are found on opening, damaged records on reading."""

import os
import pathlib
import shutil

import numpy as np
import pytest

import input_pipeline
from input_pipeline.records.bad_records import BadRecordError
from input_pipeline.records.reader import Records
from tests.helpers import noise_dataset


def _open(data_dir, *splits):
  return Records(('noise/whole',), splits or ('train',), str(data_dir))


def _cut(path, size):
  path.write_bytes(path.read_bytes()[:size])


BLOCK = (
  1 << 16
)  # bytes; the footer begins at a multiple and is within one block
FAULTS = {
  'truncated within a record': lambda path: _cut(
    path, path.stat().st_size // 3
  ),
  'truncated behind its records': lambda path: _cut(path, -BLOCK),
  'truncated by a byte': lambda path: _cut(path, -1),
  'a bit of the footer': lambda path: noise_dataset.flip(path, -BLOCK + 30),
  'emptied': lambda path: path.write_bytes(b''),
  'zeros': lambda path: path.write_bytes(bytes(path.stat().st_size)),
  'noise': lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
  'of another split': lambda path: shutil.copy(
    noise_dataset.shard(path.parents[3], 0, 'test'), path
  ),
  'gone': pathlib.Path.unlink,
}
FOUND = {
  'emptied': 'the file is empty',
  'of another split': 'the file has 1.',
  'gone': 'cannot be opened: No such file',
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_damaged_file_is_named_when_the_data_set_is_opened(
  damaged_records, fault
):
  count = len(_open(damaged_records, 'train[1shard:2shard]'))
  path = noise_dataset.shard(damaged_records, 1)
  FAULTS[fault](path)
  found = FOUND.get(fault, 'the file is truncated or corrupt')
  with pytest.raises(input_pipeline.DataError) as error:
    _open(damaged_records)
  message = str(error.value)
  assert message.startswith(f'{path}: Expected {count} records, but ')
  assert found in message
  assert '--mode=prepare' in message
  # Files of other slices are not checked.
  splits = ('train[:1shard]', 'test', 'train[2shard:]')
  others = _open(damaged_records, *splits)
  assert len(others) == noise_dataset.COUNT + 4 - count


def test_an_empty_slice_is_refused(noise_records):
  with pytest.raises(input_pipeline.DataError, match='has no record in'):
    _open(noise_records, 'train[:0]')


def test_a_bit_costs_one_record(noise_records, damaged_records):
  path = noise_dataset.shard(damaged_records, 1)
  noise_dataset.flip(path, path.stat().st_size // 3)
  whole, records = _open(noise_records), _open(damaged_records)
  everything = list(whole.scan())
  found = list(records.scan())
  (lost,) = (i for i, x in enumerate(found) if isinstance(x, BadRecordError))
  assert found[lost].record == {
    'dataset': 'noise/whole',
    'split': 'train',
    'index': lost,
    'reason': 'unreadable',
  }
  assert 'hash mismatch' in str(found[lost])
  assert len(found) == noise_dataset.COUNT
  # The other records are read in any order, with any others.
  indices = np.random.default_rng(0).permutation(noise_dataset.COUNT).tolist()
  for index, example in zip(
    indices, records.read_checked(indices), strict=True
  ):
    if index != lost:
      for each in (found[index], example):
        assert each['id'] == everything[index]['id']
        for name in ('spectrogram', 'visual_2d', 'visual_3d'):
          np.testing.assert_array_equal(each[name], everything[index][name])
  for read in (
    lambda: records.column('id'),
    lambda: records.read([3, lost]),
  ):
    with pytest.raises(BadRecordError, match=f"Record {lost} of 'noise/who"):
      read()


def test_a_file_that_is_truncated_after_opening(damaged_records):
  """ArrayRecord then returns empty records and raises no error."""
  records = _open(damaged_records)
  assert len(records.read([30])) == 1
  path = noise_dataset.shard(damaged_records, 1)
  os.truncate(path, 1000)
  with pytest.raises(input_pipeline.DataError) as error:
    records.read([30])
  assert str(error.value).startswith(f'{path}: Expected ')
