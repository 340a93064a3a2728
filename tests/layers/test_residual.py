"""The sum at the end of a residual block is that of XLA's own operations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from avl_jax.backbones.bottleneck import Bottleneck
from avl_jax.layers.residual import relu_of_sum


def _plain(x, y):
  return nn.relu(x + y)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_has_the_values_of_the_plain_sum(dtype):
  rng = np.random.default_rng(0)
  x = rng.standard_normal(10_000) * 10.0 ** rng.integers(-30, 30, 10_000)
  y = np.where(rng.random(10_000) < 0.3, -x, rng.permutation(x))
  odd = np.array([0.0, -0.0, np.nan, 1e-45, -1e-45, 1.0])
  x, y = (
    jnp.asarray(np.concatenate([a, b.ravel()]), dtype)
    for a, b in zip((x, y), np.meshgrid(odd, odd), strict=True)
  )
  found, expected = (
    np.asarray(f(x, y), np.float32) for f in (relu_of_sum, _plain)
  )
  np.testing.assert_array_equal(found, expected)


def test_has_the_gradient_of_the_plain_sum():
  x = jnp.asarray([1.0, -3.0, 2.0, 0.0, 5.0])
  y = jnp.asarray([2.0, 1.0, -2.0, 0.0, -4.0])
  weights = jnp.arange(1.0, 6.0)
  found, expected = (
    jax.grad(lambda x, y, f=f: (f(x, y) * weights).sum(), (0, 1))(x, y)
    for f in (relu_of_sum, _plain)
  )
  np.testing.assert_array_equal(found, expected)
  np.testing.assert_array_equal(found[0], [1, 0, 0, 0, 5])


@pytest.mark.skipif(jax.default_backend() != 'cpu', reason='is about CPUs')
def test_blocks_do_not_compute_those_before_them_again():
  """What XLA plans to read and write grows with blocks, not their square."""

  class Blocks(nn.Module):
    count: int

    @nn.compact
    def __call__(self, x):
      for _ in range(self.count):
        x = Bottleneck(8, 32)(x, True)
      return x

  def planned(count):
    net, x = Blocks(count), jnp.zeros((2, 16, 16, 32))
    variables = jax.eval_shape(net.init, jax.random.key(0), x)
    compiled = jax.jit(net.apply).lower(variables, x).compile()
    size = compiled.memory_analysis().temp_size_in_bytes
    return size, compiled.cost_analysis()['bytes accessed']

  two, four, six = planned(2), planned(4), planned(6)
  assert six[0] - four[0] < 0.1 * four[0]
  np.testing.assert_allclose(six[1] - four[1], four[1] - two[1], rtol=1e-3)
