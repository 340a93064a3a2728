"""float16 arithmetic on bits, compared with NumPy's on all numbers."""

import numpy as np
import tensorflow as tf

from avl_jax.features import float16

_ALL = np.arange(1 << 16).astype(np.uint16).view(np.float16)
_FINITE = _ALL[np.isfinite(_ALL)]


def test_every_number_is_finite_or_not():
  assert [float16.is_finite(x) for x in _ALL.reshape(-1, 1)] == (
    np.isfinite(_ALL).tolist()
  )
  assert float16.is_finite(_FINITE)
  for infinite in _ALL[np.isinf(_ALL)]:
    for other in (-60000, 60000):
      assert not float16.is_finite(np.array([other, infinite, 0], 'f2'))
  assert float16.is_finite(np.zeros((0, 3), np.float16))
  assert not float16.is_finite(np.array([1, np.inf], np.float32))


def test_every_number_in_single_precision():
  """In TensorFlow's threads too, which flush small numbers to zero."""

  def convert() -> np.ndarray:
    out = np.full(_FINITE.shape, 7, np.float32)
    float16.to_float32(_FINITE, out)
    return out.view(np.int32)

  expected = [int(np.float32(x).view(np.int32)) for x in _FINITE]
  assert convert().tolist() == expected
  in_thread = tf.data.Dataset.range(1).map(
    lambda _: tf.numpy_function(convert, [], tf.int32), num_parallel_calls=2
  )
  assert next(in_thread.as_numpy_iterator()).tolist() == expected


def test_maxima_of_any_signs():
  rng = np.random.default_rng(0)
  for rows in (1, 2, 11):
    shuffled = rng.permutation(np.tile(_FINITE, rows)).reshape(rows, -1)
    for array in (shuffled, -abs(shuffled), abs(shuffled)):
      found = float16.column_maxima(array)
      assert found.dtype == np.float32
      naive = [max(float(x) for x in column) for column in array.T]
      np.testing.assert_array_equal(found, naive)
  single = rng.normal(size=(5, 7)).astype('f4')
  np.testing.assert_array_equal(float16.column_maxima(single), single.max(0))
