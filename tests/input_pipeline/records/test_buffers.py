"""Memory is reused if, and only if, nothing refers to it."""

import gc

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.batches.shared_memory import SharedMemory
from input_pipeline.records.buffers import ALIGNMENT, ArrayPool


@pytest.fixture(params=['own', 'shared'])
def arrays(request):
  if request.param == 'own':
    return ArrayPool()
  return ArrayPool(SharedMemory().allocate)


def _address(array):
  return array.__array_interface__['data'][0]


def test_memory_of_a_view_is_not_reused(arrays):
  first = arrays.empty((10, 3), np.dtype('f4'))
  first[:] = np.arange(30).reshape(10, 3)
  address = _address(first)
  assert address % ALIGNMENT == 0
  view = first[2:].T[1].reshape(2, 4)
  del first
  gc.collect()
  second = arrays.empty((10, 3), np.dtype('f4'))
  second[:] = 0
  assert _address(second) != address
  np.testing.assert_array_equal(view.ravel(), np.arange(30)[7::3])
  del view
  assert _address(arrays.empty((5, 6), np.dtype('i4'))) == address
  assert _address(arrays.empty((5, 7), np.dtype('i4'))) != address


def test_tensorflow_does_not_copy_the_arrays(arrays):
  made = []

  def make(step: np.ndarray) -> np.ndarray:
    array = arrays.empty((1000,), np.dtype('f4'))
    array[:] = step
    made.append(_address(array))
    return array

  batches = tf.data.Dataset.range(20).map(
    lambda step: tf.numpy_function(make, [step], tf.float32)
  )
  kept = []
  for step, array in enumerate(batches.as_numpy_iterator()):
    assert _address(array) == made[step]
    if step % 5 == 0:
      kept.append(array)
    np.testing.assert_array_equal(array, step)
  assert len(set(made)) < 20
  for i, array in enumerate(kept):
    np.testing.assert_array_equal(array, 5 * i)
