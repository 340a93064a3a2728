"""Every loss on several devices: the gradient of the whole batch, memory."""

import functools

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax import losses, parallel
from tests.helpers.losses import CHOICES, LEARNT

# A video has more clips than a device of eight.
N, CLIPS, D = 16, 4, 5
# Others draw and choose in the same way; these need not be compiled too.
ALIKE = {
  *('sampled_margin elsewhere', 'sampled_margin semi-hard'),
  *('sampled_margin', 'two_way anywhere'),
}
KEY = functools.partial(jax.random.key, 5)
BAGS = np.arange(CLIPS) - np.tile(np.arange(CLIPS), N // CLIPS)[:, None]


def _chosen(count=1):
  """The losses to try on so many devices; those that draw, on 1 and 4."""
  made = {
    choice: losses.choose(clips_per_video=CLIPS, **options)
    for choice, options in CHOICES.items()
    if choice not in ALIKE
  }
  return {
    choice: loss
    for choice, loss in made.items()
    if count in (1, 4) or 'key' not in loss.needs
  }


def _inputs():
  rng = np.random.default_rng(3)
  x, y = rng.normal(size=(2, N, D))
  return {'x': x, 'y': y, 'learnt': LEARNT}


@functools.cache
def _whole():
  """Value and gradient of each loss of the whole batch, without `parallel`."""

  def value(inputs, loss):
    scores = inputs['x'] @ inputs['y'].T
    given = {'candidates': BAGS, 'gather': lambda x: x, 'key': KEY()}
    given |= inputs['learnt']
    return loss(scores, scores.T, jnp.arange(N), given)

  @jax.jit
  def every(inputs):
    return {
      choice: jax.value_and_grad(value)(inputs, loss)
      for choice, loss in _chosen().items()
    }

  with jax.enable_x64(True):
    return jax.device_get(every(_inputs()))


@pytest.mark.parametrize('count', [1, 2, 4, 8])
def test_gradient_of_the_whole_batch(count, use_devices):
  use_devices(count)

  def value(inputs, place, candidates, loss):
    # A device takes its part, so that the gradient is of the whole.
    n = N // count
    x, y = (
      jax.lax.dynamic_slice_in_dim(inputs[name], place * n, n) for name in 'xy'
    )
    given = {
      'candidates': candidates,
      'gather': parallel.gather,
      'key': KEY(),
      **inputs['learnt'],
    }
    return loss(*parallel.gathered_scores(x, y), given)

  def step(inputs, part):
    found = {
      choice: jax.value_and_grad(value)(inputs, *part, loss)
      for choice, loss in _chosen(count).items()
    }
    return inputs, parallel.mean(found)

  with jax.enable_x64(True):
    part = np.arange(count), BAGS.reshape(count, -1, CLIPS)
    _, found = jax.block_until_ready(
      parallel.pmap_step(step)(parallel.replicate(_inputs()), part)
    )
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-12),
    jax.device_get(found),
    {choice: _whole()[choice] for choice in found},
  )
  for choice, (_, gradient) in found.items():
    assert np.abs(gradient['x']).max() > 1e-3, choice
  for choice, names in (
    ('sigmoid', ('log_scale', 'bias')),
    ('two_way', ('scale', 'bias')),
  ):
    if choice in found:
      assert all(found[choice][1]['learnt'][name] for name in names)


def _sizes(jaxpr):
  """Numbers of elements of all arrays that a program makes."""
  for equation in jaxpr.eqns:
    for made in equation.outvars:
      yield made.aval.size
    for inner in jax.extend.core.jaxprs_in_params(equation.params):
      yield from _sizes(inner)


@pytest.mark.parametrize('choice', CHOICES)
def test_memory_is_of_the_scores(choice):
  """No array of a device is larger than its n rows, of N scores."""
  n, wide = 4, 256
  loss = losses.choose(clips_per_video=CLIPS, **CHOICES[choice])

  def value(rows, columns):
    given = {
      'candidates': BAGS[:n],
      'gather': lambda x: jnp.tile(x, wide // n),
      'key': KEY(),
      **LEARNT,
    }
    return loss(rows, columns, jnp.arange(n), given)

  made = jax.make_jaxpr(jax.grad(value, (0, 1)))(*np.ones((2, n, wide)))
  sizes = list(_sizes(made.jaxpr))
  assert max(sizes) == n * wide
  assert len(sizes) > 5
