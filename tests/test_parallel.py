"""A step on several devices equals one on one device with the whole batch."""

import contextlib
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from avl_jax import losses, parallel
from avl_jax.errors import UserError
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.train import optimizer as optimizers
from avl_jax.train import step as training_step

N, T, V, STEPS = 16, 40, 12, 3
RATE = 1e-2


@contextlib.contextmanager
def count_compilations():
  """Context of a list with an entry per compilation by XLA."""
  events = []

  def listen(event, _, **__):
    if 'backend_compile' in event:
      events.append(event)

  jax.monitoring.register_event_duration_secs_listener(listen)
  yield events
  jax.monitoring.unregister_event_duration_listener(listen)


def _model(dtype, axis_name='devices'):
  return AVLnet(
    embed_dim=8,
    widths=(4, 4, 6),
    blocks=(1, 1),
    axis_name=axis_name,
    dtype=dtype,
  )


def _batch(dtype):
  rng = np.random.default_rng(0)
  return {
    'spectrogram': rng.normal(-40, 15, (N, T, 40)).astype(dtype),
    'num_frames': rng.integers(5, T, N, dtype=np.int32),
    'visual': rng.normal(size=(N, V)).astype(dtype),
  }


def _initial(dtype):
  variables = init_variables(_model(dtype), V, seed=1)
  return jax.tree.map(lambda x: np.asarray(x, dtype), variables)


def _plain_steps(dtype):
  """Three Adam steps without `parallel`: one device, no gathering."""
  model, batch = _model(dtype, axis_name=None), _batch(dtype)
  optimizer = optimizers.make_optimizer(learning_rate=RATE)

  def loss_function(params, stats):
    embeddings, updates = model.apply(
      {'params': params, 'batch_stats': stats},
      batch,
      train=True,
      mutable=['batch_stats'],
    )
    scores = embeddings['audio'] @ embeddings['video'].T
    loss = losses.masked_margin_softmax(
      scores, scores.T, jnp.arange(N), margin=0.001
    )
    return loss, updates['batch_stats']

  @jax.jit
  def step(params, stats, state):
    (loss, stats), gradients = jax.value_and_grad(loss_function, has_aux=True)(
      params, stats
    )
    updates, state = optimizer.update(gradients, state, params)
    params = optax.apply_updates(params, updates)
    return (params, stats, state), (loss, gradients, stats)

  params, stats = _initial(dtype)['params'], _initial(dtype)['batch_stats']
  carry, trace = (params, stats, optimizer.init(params)), []
  for _ in range(STEPS):
    carry, seen = step(*carry)
    trace.append(jax.device_get(seen))
  return trace, {'params': carry[0], 'batch_stats': carry[1]}


def _mapped_steps(dtype, model=None):
  """The same steps with `parallel` and `train`; the state of every device."""
  optimizer = optimizers.make_optimizer(learning_rate=RATE)
  step = parallel.pmap_step(
    training_step.make_step(
      model or _model(dtype),
      optimizer,
      pairs=(('audio', 'video'),),
      margin=0.001,
    )
  )
  state = training_step.create_state(_initial(dtype), optimizer)
  batch, trace = parallel.shard(_batch(dtype)), []
  for _ in range(STEPS):
    with count_compilations() as compilations:
      state, metrics = jax.block_until_ready(step(state, batch))
    trace.append(metrics['loss'])
    if len(trace) > 1:
      assert not compilations, 'a later step compiled again'
    else:
      # Adam's first moment is a tenth of the first gradient.
      first = jax.tree.map(lambda x: 10 * x, state.optimizer_state[0].mu)
      first = jax.device_get((first, state.variables['batch_stats']))
  devices = [
    jax.tree.map(lambda x, i=i: x.addressable_shards[i].data, state.variables)
    for i in range(len(parallel.devices()))
  ]
  return trace, first, jax.device_get(devices)


def _compare(got, expected, rtol):
  def close(path, x, y):
    scale = np.abs(y).max() + 1e-30
    assert np.abs(x - y).max() <= rtol * scale, jax.tree_util.keystr(path)

  jax.tree_util.tree_map_with_path(close, got, jax.device_get(expected))


@functools.cache
def _reference(dtype):
  with jax.enable_x64(dtype == 'float64'):
    return _plain_steps(dtype)


@pytest.mark.parametrize(
  ('dtype', 'count'),
  [
    *(('float64', count) for count in (1, 2, 4, 8)),
    *(
      # Rounding is the only thing that float64 lacks.
      pytest.param('float32', count, marks=pytest.mark.slow)
      for count in (1, 2, 4)
    ),
    ('float32', 8),
  ],
)
def test_devices_do_not_change_the_result(dtype, count, use_devices):
  expected_trace, expected_variables = _reference(dtype)
  use_devices(count)
  with jax.enable_x64(dtype == 'float64'):
    losses_, (gradients, stats), every_device = _mapped_steps(dtype)
  if dtype == 'float32':
    loss, expected_gradients, expected_stats = expected_trace[0]
    np.testing.assert_allclose(losses_[0], loss, rtol=1e-5)
    _compare(gradients, expected_gradients, 1e-4)
    _compare(stats, expected_stats, 1e-5)
    return
  np.testing.assert_allclose(
    losses_, [loss for loss, _, _ in expected_trace], rtol=1e-9
  )
  _compare(gradients, expected_trace[0][1], 1e-9)
  _compare(stats, expected_trace[0][2], 1e-9)
  assert len(every_device) == count
  for variables in every_device:
    _compare(variables, expected_variables, 1e-9)


def test_statistics_of_each_device_alone(use_devices):
  """Without an axis, BatchNorm uses its device's share, as in the release."""
  use_devices(4)
  with jax.enable_x64(True):
    model = _model('float64', axis_name=None)
    _, (_, stats), every_device = _mapped_steps('float64', model)
    share = {key: value[: N // 4] for key, value in _batch('float64').items()}
    apply = jax.jit(
      lambda variables, batch: model.apply(
        variables, batch, train=True, mutable=['batch_stats']
      )
    )
    _, updates = apply(_initial('float64'), share)
    _compare(stats, updates['batch_stats'], 1e-9)
  for variables in every_device:
    _compare(variables, every_device[0], 0)


def test_an_uneven_batch_is_refused(use_devices):
  use_devices(4)
  with pytest.raises(UserError, match=r'batch of 6 clips.*4 devices'):
    parallel.shard({'x': np.zeros((6, 2))})


@pytest.mark.parametrize('count', [1, 3, 8])
def test_forward_takes_any_number_of_examples(use_devices, count):
  use_devices(count)
  forward = parallel.pmap_forward(lambda w, batch: w * batch['x'].sum(1))
  rng = np.random.default_rng(0)
  for size in (7, 7, 3, 1):
    x = rng.normal(size=(size, 5)).astype(np.float32)
    got = forward(np.float32(2), {'x': x})
    np.testing.assert_allclose(got, 2 * x.sum(1), rtol=1e-6)


@pytest.mark.parametrize(
  ('platform', 'expected'), [('cpu', None), ('gpu', 'float32')]
)
def test_forward_passes_have_full_precision_on_accelerators(
  platform, expected, monkeypatch
):
  seen = []

  def forward(w, batch):
    seen.append(jax.config.jax_default_matmul_precision)
    return w * batch['x']

  call = parallel.pmap_forward(forward)
  count = len(parallel.devices())
  monkeypatch.setattr(
    parallel, 'devices', lambda: [types.SimpleNamespace(platform=platform)]
  )
  monkeypatch.setattr(parallel, 'local_devices', jax.local_devices)
  call(np.float32(2), {'x': np.ones((count, 1), np.float32)})
  assert seen == [expected]
