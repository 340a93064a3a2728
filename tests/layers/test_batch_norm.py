"""BatchNorm against float64 numpy, on one device and synchronized on two."""

import functools

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax.layers import batch_norm
from avl_jax.layers.batch_norm import BatchNorm
from tests.helpers import golden

EPSILON, DEVICES = 1e-5, 2


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


def _two_passes(x, scale, bias):
  """Result and statistics, by the mean and then the squared deviations."""
  axes = tuple(range(x.ndim - 1))
  mean = x.mean(axes)
  var = jnp.square(x - mean).mean(axes)
  y = (x - mean) * (jax.lax.rsqrt(var + EPSILON) * scale) + bias
  return y, mean, var


def _one_pass(x, scale, bias):
  return batch_norm.normalize(x, scale, bias, EPSILON, None, x.dtype)


def _with_gradients(function, given, weights):
  """(y, mean, var), and the gradients of the weighted sum of y."""

  def value(given):
    found = function(*given)
    return (found[0] * weights).sum(), found

  return jax.jit(jax.grad(value, has_aux=True))(given)


def _inputs(offset, outlying, shape=(6, 40, 7)):
  """x [...], scale, bias, and weights of a sum of the result."""
  rng = np.random.default_rng(1)
  x = rng.normal(size=shape)
  x[0] += outlying  # The first example is far from the others.
  x = (x + offset).astype('f4')
  scale, bias = rng.normal(1, 0.3, (2, shape[-1])).astype('f4')
  return (x, scale, bias), rng.normal(size=shape).astype('f4')


@pytest.mark.parametrize('settled', [False, True])
@pytest.mark.parametrize('offset', [0, 10, 1000])
@pytest.mark.parametrize('shape', [(6, 40, 7), (32, 1000, 7)])
def test_error_is_that_of_two_passes(shape, offset, settled):
  """Error against float64, of results, statistics and gradients.

  That of the mean is in deviations, that of the others in their largest value.
  """
  given, weights = _inputs(offset, outlying=2, shape=shape)
  plain = _with_gradients(_two_passes, given, weights)
  with jax.enable_x64(True):
    wide = jax.tree.map(lambda x: x.astype('f8'), (given, weights))
    exact = jax.device_get(_with_gradients(_two_passes, *wide))
  found = _with_gradients(_one_pass, given, weights)
  *_, mean, var = jax.tree.leaves(exact)
  errors = [
    [
      np.abs(x - y).max() / (np.sqrt(var).max() if y is mean else abs(y).max())
      for x, y in zip(*map(jax.tree.leaves, (tree, exact)), strict=True)
    ]
    for tree in (found, plain)
  ]
  resolution = 2 * np.finfo('f4').eps
  assert (errors[0] <= 10 * np.maximum(errors[1], resolution)).all(), errors
  x = given[0]
  start = {'mean': mean, 'var': var} if settled else {'mean': 0, 'var': 1}
  start = {k: np.full(7, v, 'f4') for k, v in start.items()}
  variables = {'params': dict(zip(('scale', 'bias'), given[1:], strict=True))}
  y, updated = BatchNorm().apply(
    {**variables, 'batch_stats': start}, x, False, mutable='batch_stats'
  )
  atol = 1e-5 + offset * resolution  # of a value of x, in its deviations
  np.testing.assert_allclose(y, found[1][0], rtol=1e-4, atol=atol)
  n = x.size // 7
  for name, value in (('mean', mean), ('var', var * n / (n - 1))):
    expected = 0.9 * start[name] + 0.1 * value
    np.testing.assert_allclose(
      updated['batch_stats'][name], expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize('offset', [10, 1000])
@pytest.mark.parametrize('count', [8, 128])
def test_a_first_example_of_silence_costs_little(count, offset):
  x, *_ = _inputs(offset, 0, (count, 250, 7))[0]
  x[0] = 0
  found = batch_norm._statistics(jnp.asarray(x), None)[1]
  exact = x.astype('f8').var((0, 1))
  np.testing.assert_allclose(found, exact, rtol=4e-7 * count)


@pytest.mark.parametrize('shape', [(6, 4, 5), (6, 5), (4, 2, 3, 5)])
def test_gradients_are_those_of_autodiff_on_any_devices(shape):
  given, weights = _inputs(3, 0, shape)

  def on_a_device(x, weights, scale, bias):
    normalize = functools.partial(
      batch_norm.normalize,
      epsilon=EPSILON,
      axis_name='devices',
      dtype=x.dtype,
    )
    return _with_gradients(normalize, (x, scale, bias), weights)

  with jax.enable_x64(True):
    given, weights = jax.tree.map(lambda x: x.astype('f8'), (given, weights))
    expected = _with_gradients(_two_passes, given, weights)
    alone = _with_gradients(_one_pass, given, weights)
    parts = [x.reshape(DEVICES, -1, *shape[1:]) for x in (given[0], weights)]
    mapped = jax.pmap(
      on_a_device,
      'devices',
      in_axes=(0, 0, None, None),
      devices=jax.devices()[:DEVICES],
    )
    (of_x, *of_others), (y, *others) = mapped(*parts, *given[1:])
    together = (
      (of_x.reshape(shape), *(x.sum(0) for x in of_others)),
      (y.reshape(shape), *(x[1] for x in others)),
    )
    for found in (alone, together):
      for x, y in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert x.dtype == 'f8'
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9)
    assert np.abs(expected[0][0]).max() > 1e-3


def _collectives(jaxpr):
  """Names of the collectives of a program, inner ones too."""
  for equation in jaxpr.eqns:
    if 'axis_name' in equation.params or 'axes' in equation.params:
      name = equation.primitive.name
      if name in ('psum', 'psum_invariant', 'all_gather', 'pmax', 'pmin'):
        yield name
    for inner in jax.extend.core.jaxprs_in_params(equation.params):
      yield from _collectives(inner)


def test_forward_and_backward_have_a_collective_each():
  x = np.ones((2, 4, 5), 'f4')

  def value(x):
    y, *_ = batch_norm.normalize(
      x, x[0, 0], x[0, 0], EPSILON, 'devices', x.dtype
    )
    return jnp.square(y).sum()

  made = jax.make_jaxpr(jax.grad(value), axis_env=[('devices', DEVICES)])(x)
  assert [*_collectives(made.jaxpr)] == ['all_gather', 'psum']


def test_the_gradient_keeps_the_input_in_its_type():
  x = jnp.ones((8, 50, 4), jnp.bfloat16)
  ones = jnp.ones(4)
  (y, mean, var), pull = jax.vjp(
    lambda x: batch_norm.normalize(x, ones, ones, EPSILON, None, jnp.bfloat16),
    x,
  )
  kept = [each for each in jax.tree.leaves(pull) if each.size >= x.size]
  assert [each.dtype for each in kept] == [jnp.bfloat16]
  assert (y.dtype, mean.dtype, var.dtype) == (x.dtype, 'f4', 'f4')
  (gradient,) = pull((y, mean, var))
  assert gradient.dtype == jnp.bfloat16
