"""Steps with other losses than the default: devices, what a loss learns."""

import functools

import jax
import numpy as np
import pytest

from avl_jax import losses, parallel
from avl_jax.losses import impostors
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.train import initialization
from avl_jax.train import optimizer as optimizers
from avl_jax.train import step as training_step

N, CLIPS, T, V = 8, 4, 32, 5
MODEL = {'embed_dim': 6, 'widths': (4, 4), 'blocks': (1,), 'normalize': True}
PAIRS = (('audio', 'video'),)
DESCRIPTION = {'visual_width': V, 'seed': 1}
LOSSES = {
  'mil_nce': {'name': 'mil_nce'},
  'sigmoid': {'name': 'sigmoid', 'sigmoid': {'initial_bias': -2.0}},
  'two_way': {'name': 'two_way'},
}
STARTS = {
  'sigmoid': {'log_scale': np.log(10), 'bias': -2},
  'two_way': {'scale': 1.0, 'bias': 1.4},
}
SEED = 9


def _batch():
  rng = np.random.default_rng(0)
  places = np.tile(np.arange(CLIPS), N // CLIPS)[:, None]
  return {
    'spectrogram': rng.normal(-40, 15, (N, T, 40)).astype('f4'),
    'num_frames': np.full(N, T, np.int32),
    'visual': rng.normal(size=(N, V)).astype('f4'),
    'candidates': (np.arange(CLIPS) - places).astype('i4'),
  }


@functools.cache
def _made(name, devices):
  """The step of a loss, and its state before the first one."""
  del devices  # in use; they are part of what is compiled
  model, options = AVLnet(**MODEL), LOSSES[name]
  optimizer = optimizers.make_optimizer(learning_rate=1e-2)
  step = parallel.pmap_step(
    training_step.make_step(
      model,
      optimizer,
      pairs=PAIRS,
      clips_per_video=CLIPS,
      seed=SEED,
      **options,
    )
  )
  learnt = losses.initial_values(**options)
  variables = initialization.initialize(model, DESCRIPTION, learnt=learnt)
  # On the host: a step reuses the memory of its state.
  return step, jax.device_get(variables), optimizer


def _at_step(name, number):
  """Loss of the first batch and variables at another step."""
  step, variables, optimizer = _made(name, len(parallel.devices()))
  state = training_step.create_state(variables, optimizer)
  state = state.replace(step=state.step + number)
  return float(step(state, parallel.shard(_batch()))[1]['loss'])


def _steps(name):
  """Losses of two steps, and the parameters after them."""
  step, variables, optimizer = _made(name, len(parallel.devices()))
  state = training_step.create_state(variables, optimizer)
  batch, seen = parallel.shard(_batch()), []
  for _ in range(2):
    state, metrics = jax.block_until_ready(step(state, batch))
    seen.append(float(metrics['loss']))
  return seen, jax.device_get(state.variables['params'])


@functools.cache
def _on_one_device(name):
  return _steps(name)


@pytest.mark.parametrize('name', LOSSES)
def test_devices_do_not_change_the_result(name, use_devices):
  use_devices(1)
  seen, params = _on_one_device(name)
  use_devices(4)
  others, found = _steps(name)
  np.testing.assert_allclose(others, seen, rtol=1e-5)
  # Adam makes a step of a gradient that is only rounding, hence the bound.
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-2, atol=2e-3),
    found,
    params,
  )
  # Of other negatives the second step is not always better.
  assert seen[1] < seen[0] or name == 'two_way'
  if name == 'mil_nce':
    assert 'loss' not in params
    assert seen[0] > np.log(2)
  else:
    # Adam moves by the learning rate at first.
    start = dict(STARTS[name])
    for key, value in params['loss'].items():
      assert 0.001 < abs(value - start.pop(key)) < 0.021
    assert not start


@functools.cache
def _cosines():
  variables = init_variables(AVLnet(**MODEL), V, seed=1)
  apply = functools.partial(
    AVLnet(**MODEL, axis_name=None).apply, train=True, mutable=['batch_stats']
  )
  x, _ = jax.jit(apply)(variables, _batch())
  return np.asarray(x['audio'] @ x['video'].T)


def test_the_first_sigmoid_loss_is_that_of_cosines(use_devices):
  use_devices(1)
  z = 10 * _cosines() - 2
  z = np.where(np.eye(N, dtype=bool), -z, z)
  expected = np.log1p(np.exp(z)).sum(1).mean()
  np.testing.assert_allclose(
    _on_one_device('sigmoid')[0][0], expected, rtol=1e-5
  )


def test_negatives_are_drawn_from_seed_and_step(use_devices):
  """The loss of step k is that of the key of (seed, k)."""
  use_devices(1)
  distances = np.sqrt(2 - 2 * _cosines())
  found = []
  for step in (0, 7):
    key = jax.random.fold_in(jax.random.key(SEED), step)
    drawn = impostors.draw(jax.random.fold_in(key, 0), np.arange(N), N, CLIPS)
    z = 1.4 - distances
    own, other = np.diag(z), z[np.arange(N), np.asarray(drawn)]
    found.append(np.mean([np.log1p(np.exp(-own)), np.log1p(np.exp(other))]))
  assert abs(found[0] - found[1]) > 1e-4
  np.testing.assert_allclose(
    _on_one_device('two_way')[0][0], found[0], rtol=1e-5
  )
  np.testing.assert_allclose(_at_step('two_way', 7), found[1], rtol=1e-5)
