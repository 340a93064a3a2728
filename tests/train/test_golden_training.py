"""Training in the release's structure against the release's own numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from avl_jax import losses
from avl_jax.models import avlnet, expressions
from tests.helpers import convert, golden, golden_training

_STEP, _STEP_ARRAYS = golden.load('train_step')
_TRAJECTORY, _TRAJECTORY_ARRAYS = golden.load('trajectory')
_TEXT, _TEXT_ARRAYS = golden.load('text_models')
_STEPS = {
  sub: (case, golden.sub_arrays(arrays, sub))
  for described, arrays in ((_STEP, _STEP_ARRAYS), (_TEXT, _TEXT_ARRAYS))
  for sub, case in described['sub'].items()
  if 'optimizer' in case['params']
}
# What the release's flags train on, in the order of its similarity matrices.
_PAIRS = {
  'additive': (('text', 'audio+video'),),
  'fused': (('audio_text', 'video'),),
  'tri': (('audio', 'video'), ('audio', 'text'), ('text', 'video')),
}
_AUDIO_VIDEO = (('audio', 'video'),)
_DTYPES = ('float64', 'float32')
_FAST = {
  *(('train', dtype) for dtype in _DTYPES),
  ('train_odd', 'float32'),
  ('evalmode', 'float64'),
  ('additive_evalmode', 'float64'),
  ('fused_train', 'float64'),
  ('fused_evalmode', 'float32'),
}


@pytest.fixture
def dtype(request):
  """Name of the type to train in."""
  with jax.enable_x64(request.param == 'float64'):
    yield request.param


def _network(params: dict, dtype: str, mode: str = '') -> avlnet.AVLnet:
  # As the release fine-tunes: quirk 1 of GOLDEN.md.
  frozen = (mode or params['mode']) == 'eval'
  return avlnet.AVLnet(
    **convert.options(params['net']),
    pooling='masked' if frozen else 'mean',
    frozen_statistics=frozen,
    axis_name=None,
    dtype=dtype,
  )


def _margin(params: dict) -> float:
  """The release keeps the margin in float32 even with float64 scores."""
  return float(np.float32(params['margin']))


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _loss_and_gradients(network, variables, batch, margin, pairs=_AUDIO_VIDEO):
  def loss_function(params):
    with nn.intercept_methods(golden_training.convolve_by_matmul):
      embeddings, updated = network.apply(
        {**variables, 'params': params},
        batch,
        train=True,
        mutable='batch_stats',
      )
    scores = [
      expressions.combine(embeddings, x) @ expressions.combine(embeddings, y).T
      for x, y in pairs
    ]
    parts = [
      losses.masked_margin_softmax(
        rows, rows.T, jnp.arange(len(rows)), margin=margin
      )
      for rows in scores
    ]
    outputs = {f'S{i}': rows for i, rows in enumerate(scores)} | embeddings
    return sum(parts), (outputs, updated['batch_stats'])

  return jax.value_and_grad(loss_function, has_aux=True)(variables['params'])


@functools.partial(jax.jit, static_argnums=0)
def _evaluation_scores(network, variables, batch):
  with nn.intercept_methods(golden_training.convolve_by_matmul):
    embeddings = network.apply(variables, batch, train=False)
  return embeddings['audio'] @ embeddings['video'].T


@functools.partial(jax.jit, donate_argnums=(0, 1))
def _adam(params, state, gradients, learning_rate):
  updates, state = optax.adam(learning_rate).update(gradients, state)
  return optax.apply_updates(params, updates), state


def _start(dtype: str, net: dict) -> tuple[dict, tuple]:
  """Copies of the golden weights, and the optimizer's state."""
  variables = jax.tree.map(
    lambda x: jnp.array(x, dtype), convert.golden_variables(net)
  )
  return variables, optax.adam(0.0).init(variables['params'])


def _batch(case: dict, dtype: str, suffix: str = '') -> dict[str, np.ndarray]:
  batch = convert.golden_batch(
    case['inputs'], case['params']['nframes'], suffix
  )
  return {
    name: x if name == 'num_frames' else x.astype(dtype)
    for name, x in batch.items()
  }


def _norm(x: np.ndarray) -> float:
  return np.linalg.norm(x.astype(np.float64))


def _changes(variables: dict, net: dict, keys: list[str]) -> np.ndarray:
  """L2 norm of the change of each entry since the start; dead ones 0."""
  before = convert.to_release(convert.golden_variables(net), keys)
  after = convert.to_release(variables, keys)
  return np.array(
    [_norm(after[key] - before[key]) if key in after else 0.0 for key in keys]
  )


def _assert_close(actual, expected, *, of_largest: float):
  """Compares within a fraction of the largest value of each last axis."""
  error = np.abs(np.asarray(actual) - expected).max(-1)
  assert (error <= of_largest * np.abs(expected).max(-1)).all(), error


@pytest.mark.parametrize(
  ('sub', 'dtype'),
  [
    # The other cases repeat these pairs and modes.
    pytest.param(
      sub, dtype, marks=() if (sub, dtype) in _FAST else pytest.mark.slow
    )
    for sub in _STEPS
    for dtype in _DTYPES
  ],
  indirect=['dtype'],
)
def test_step(sub, dtype):
  case, expected = _STEPS[sub]
  exact = dtype == 'float64'
  params = case['params']
  network = _network(params, dtype)
  variables, state = _start(dtype, params['net'])
  (loss, (outputs, batch_stats)), gradients = _loss_and_gradients(
    network,
    variables,
    _batch(case, dtype),
    _margin(params),
    _PAIRS.get(sub.split('_')[0], _AUDIO_VIDEO),
  )
  compared = expected.keys() & outputs.keys()
  assert {'video', 'S0'} < compared
  assert not {'S1', 'S2', 'text', 'audio_text'} & expected.keys() - compared
  for name in compared:
    output = outputs[name]
    _assert_close(output.ravel(), expected[name].ravel(), of_largest=5e-5)
  np.testing.assert_allclose(
    loss, expected['loss_f64'], rtol=1e-8 if exact else 1e-5
  )
  _check_gradients({'params': gradients}, case, expected, exact)
  lr = params['optimizer']['lr']
  updated, _ = _adam(variables['params'], state, gradients, lr)
  variables = {'params': updated, 'batch_stats': batch_stats}
  # Steps of 1e-5 round in float32.
  np.testing.assert_allclose(
    _changes(variables, params['net'], case['param_order']),
    expected['adam_delta_l2_f64'],
    rtol=1e-8 if exact else 1e-2 if lr <= 1e-5 else 2e-3,
  )
  _check_statistics(variables, case, expected)


def _check_gradients(gradients, case, expected, exact):
  keys = case['param_order']
  values = convert.to_release(gradients, keys)
  assert set(keys) - set(values) == set(case['params_without_grad'])
  has_gradient = np.isin(keys, list(values))
  np.testing.assert_allclose(
    [_norm(value) for value in values.values()],
    expected['grad_l2_f64'][has_gradient],
    rtol=1e-8 if exact else 5e-3,
  )
  named = [values[key].ravel() for key in case['named']]
  strided = [x[np.arange(8) * x.size // 8] for x in named]
  _assert_close(
    strided, expected['grad_stride8_f64'], of_largest=1e-8 if exact else 2e-2
  )
  # Some sets have these in float32 only, to be compared as float32 is.
  name = 'grad_first8_f64' if 'grad_first8_f64' in expected else 'grad_first8'
  _assert_close(
    [x[:8] for x in named],
    expected[name],
    of_largest=1e-8 if exact and name.endswith('_f64') else 2e-2,
  )


def _check_statistics(variables, case, expected):
  for name in ('running_mean', 'running_var'):
    keys = [f'{layer}.{name}' for layer in case['bn_layers']]
    found = convert.to_release(variables, keys)
    values = list(found.values())
    alive = np.isin(keys, list(found))
    assert [*np.array(keys)[~alive]] == [f'DAVEnet.batchnorm1.{name}']
    np.testing.assert_allclose(
      [_norm(value) for value in values],
      expected[f'bn_{name}_l2'][alive],
      rtol=1e-5,
    )
    np.testing.assert_allclose(
      _changes(variables, case['params']['net'], keys),
      expected[f'bn_{name}_delta_l2'],
      rtol=1e-5,
    )
    _assert_close(
      [value[:8] for value in values],
      expected[f'bn_{name}_first8'][alive],
      of_largest=1e-5,
    )


@pytest.mark.parametrize(
  ('sub', 'dtype'),
  [
    # Their first steps are in test_step; here they are ten.
    pytest.param(sub, dtype, marks=pytest.mark.slow)
    for sub in _TRAJECTORY['sub']
    for dtype in _DTYPES
  ],
  indirect=['dtype'],
)
def test_trajectory(sub, dtype):
  case = _TRAJECTORY['sub'][sub]
  expected = golden.sub_arrays(_TRAJECTORY_ARRAYS, sub)
  exact = dtype == 'float64'
  net = case['params']['net']
  network = _network(case['params'], dtype)
  variables, state = _start(dtype, net)
  batches = [_batch(case, dtype, each) for each in golden.batches_of(case)]
  assert f't % {len(batches)}' in case['params']['batches']
  trajectory = []
  for step in range(case['params']['steps']):
    (loss, (_, batch_stats)), gradients = _loss_and_gradients(
      network,
      variables,
      batches[step % len(batches)],
      _margin(case['params']),
    )
    params, state = _adam(
      variables['params'], state, gradients, case['params']['optimizer']['lr']
    )
    variables = {'params': params, 'batch_stats': batch_stats}
    trajectory.append(float(loss))
  golden_training.assert_losses(
    trajectory,
    expected['loss_f64'],
    (0, 1e-6, 1e-6) if exact else golden_training.FLOAT32[sub],
  )
  np.testing.assert_allclose(
    _changes(variables, net, case['key_order']),
    expected['delta_l2_f64'],
    rtol=1e-6 if exact else 2e-2,
  )
  scores = _evaluation_scores(
    _network(case['params'], dtype, 'eval'), variables, batches[0]
  )
  described = _TRAJECTORY['arrays'][f'{sub}/final_eval_S']
  # Stored in float32 only: float64 is as far from it as the release's float64.
  atol = (
    1.01 * described['fp32_minus_fp64_maxabs']
    if exact
    else 3e-2 * described['absmax']
  )
  np.testing.assert_allclose(
    scores, expected['final_eval_S'], rtol=0, atol=atol
  )
