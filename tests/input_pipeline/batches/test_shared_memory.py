"""Shared memory: what one writes the other reads; full memory is an error."""

import gc
import mmap
import os
import pickle
import resource
import sys

import numpy as np
import pytest

from avl_jax.errors import ConfigError, UserError
from input_pipeline.batches.shared_memory import SharedMemory
from input_pipeline.records.buffers import ArrayPool


def _descriptors():
  return {
    name
    for name in os.listdir('/proc/self/fd')
    if 'memfd:avl_jax' in _target(name)
  }


def _target(name):
  try:
    return os.readlink(f'/proc/self/fd/{name}')
  except FileNotFoundError:  # The folder's own descriptor.
    return ''


def test_a_description_leads_to_the_array():
  memory = SharedMemory()
  arrays = ArrayPool(memory.allocate)
  first = arrays.empty((3, 4), np.dtype('f4'))
  second = arrays.empty((3, 4), np.dtype('f4'))
  first[:], second[:] = 1, 2
  for array in (first, second):
    other = pickle.loads(pickle.dumps(memory.describe(array))).open()
    assert not np.shares_memory(other, array)  # Another map of the memory.
    np.testing.assert_array_equal(other, array, strict=True)
    other[1, 2] = 7
    assert array[1, 2] == 7
    assert array.sum() == 7 + 11 * array[0, 0]
  before = memory.describe(second)
  del array, other, second
  gc.collect()
  third = arrays.empty((12,), np.dtype('i4'))
  again = memory.describe(third)
  # The memory of the array that was released, which stays open.
  assert (again.path, again.file) == (before.path, before.file)
  assert again.shape == (12,)
  third[:] = range(12)
  np.testing.assert_array_equal(again.open(), third, strict=True)


def test_arrays_outlive_the_descriptors():
  gc.collect()  # What earlier tests have left.
  before = _descriptors()
  memory = SharedMemory()
  array = ArrayPool(memory.allocate).empty((5000,), np.dtype('f8'))
  array[:] = 3
  described = memory.describe(array)
  assert len(_descriptors()) == len(before) + 2  # Python's map has one, too.
  del memory
  gc.collect()
  assert (array == 3).all()
  del array
  gc.collect()
  assert _descriptors() == before
  # Another file at the same descriptor is not taken for the first one.
  memory = SharedMemory()
  array = ArrayPool(memory.allocate).empty((5000,), np.dtype('f8'))
  assert memory.describe(array).path == described.path
  with pytest.raises(RuntimeError, match='no longer the memory'):
    described.open()
  assert not memory.describe(array).open().any()


def test_full_memory_is_an_error():
  gc.collect()
  before = _descriptors()
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
  try:
    with pytest.raises(UserError, match='2 MiB of memory for a batch cannot'):
      SharedMemory().allocate(2 << 20)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert _descriptors() == before


def test_all_memory_is_there_before_it_is_written():
  memory = SharedMemory()
  memory.allocate(8 * mmap.PAGESIZE)
  (descriptor,) = memory._files.values()
  assert os.fstat(descriptor).st_blocks * 512 == 8 * mmap.PAGESIZE


def test_another_system_is_named(monkeypatch):
  monkeypatch.setattr(sys, 'platform', 'darwin')
  with pytest.raises(ConfigError, match=r'Set train_data\.processes=0'):
    SharedMemory()
