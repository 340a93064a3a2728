"""Steps with other losses than the default: devices, what a loss learns."""

import functools

import jax
import numpy as np
import pytest

from avl_jax import losses, parallel
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
}


def _batch():
  rng = np.random.default_rng(0)
  places = np.tile(np.arange(CLIPS), N // CLIPS)[:, None]
  return {
    'spectrogram': rng.normal(-40, 15, (N, T, 40)).astype('f4'),
    'num_frames': np.full(N, T, np.int32),
    'visual': rng.normal(size=(N, V)).astype('f4'),
    'candidates': (np.arange(CLIPS) - places).astype('i4'),
  }


def _steps(name):
  """Losses of two steps, and the parameters after them."""
  model, options = AVLnet(**MODEL), LOSSES[name]
  optimizer = optimizers.make_optimizer(learning_rate=1e-2)
  step = parallel.pmap_step(
    training_step.make_step(
      model, optimizer, pairs=PAIRS, clips_per_video=CLIPS, **options
    )
  )
  learnt = losses.initial_values(**options)
  variables = initialization.initialize(model, DESCRIPTION, learnt=learnt)
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
  assert seen[1] < seen[0]
  if name == 'mil_nce':
    assert 'loss' not in params
    assert seen[0] > np.log(2)
  else:
    # Adam moves by the learning rate at first. Less of both suits negatives.
    start = {'log_scale': np.log(10), 'bias': -2}
    for key, value in params['loss'].items():
      assert 0.01 < abs(value - start.pop(key)) < 0.021
    assert not start


def test_the_first_sigmoid_loss_is_that_of_cosines(use_devices):
  use_devices(1)
  variables = init_variables(AVLnet(**MODEL), V, seed=1)
  apply = functools.partial(
    AVLnet(**MODEL, axis_name=None).apply, train=True, mutable=['batch_stats']
  )
  x, _ = jax.jit(apply)(variables, _batch())
  z = 10 * np.asarray(x['audio'] @ x['video'].T) - 2
  z = np.where(np.eye(N, dtype=bool), -z, z)
  expected = np.log1p(np.exp(z)).sum(1).mean()
  np.testing.assert_allclose(
    _on_one_device('sigmoid')[0][0], expected, rtol=1e-5
  )
