"""BatchNorm against float64 numpy, on one device and synchronized on two."""

import functools

import jax
import numpy as np
import pytest

from avl_jax.layers.batch_norm import BatchNorm
from tests.helpers import golden


def _normalize(norm, x):
  variables = norm.init(jax.random.key(0), x, use_running_statistics=False)
  y, updated = norm.apply(
    variables, x, use_running_statistics=False, mutable='batch_stats'
  )
  return y, updated['batch_stats']


@pytest.mark.parametrize('mean', [0.0, 1e4])
def test_batch_norm_is_accurate_and_keeps_the_unbiased_variance(mean):
  x = golden.normal('model/batch_norm', (3, 4, 5)) + np.float32(mean)
  y, statistics = _normalize(BatchNorm(), x)
  exact = x.astype(np.float64).reshape(12, 5)
  expected = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
  np.testing.assert_allclose(y.reshape(12, 5), expected, atol=2e-3)
  np.testing.assert_allclose(
    statistics['var'], 0.9 + 0.1 * exact.var(0, ddof=1), rtol=1e-4
  )
  np.testing.assert_allclose(
    statistics['mean'], 0.1 * exact.mean(0), rtol=1e-5, atol=1e-6
  )


def test_synchronized_batch_norm_does_not_depend_on_devices():
  x = golden.normal('model/batch_norm', (6, 4, 5))
  x += np.arange(6, dtype=np.float32)[:, None, None]
  devices = x.reshape(2, 3, 4, 5)

  def mapped(norm):
    return jax.vmap(functools.partial(_normalize, norm), axis_name='devices')(
      devices
    )

  expected, statistics = _normalize(BatchNorm(), x)
  y, synchronized = mapped(BatchNorm(axis_name='devices'))
  np.testing.assert_allclose(y.reshape(x.shape), expected, atol=1e-5)
  for name in ('mean', 'var'):
    for device in synchronized[name]:
      np.testing.assert_allclose(device, statistics[name], rtol=1e-5)
  alone, _ = mapped(BatchNorm())
  assert np.abs(alone.reshape(x.shape) - expected).max() > 0.1
