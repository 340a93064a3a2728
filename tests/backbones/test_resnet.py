"""ResNet: golden outputs of every depth, training, its weight files."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax import torch_files
from avl_jax.backbones import bottleneck, resnet
from avl_jax.torch_files import weight_map
from tests.helpers import golden

DESCRIPTION, ARRAYS = golden.load('visual/resnet152')
SMALL = [
  sub
  for sub, case in DESCRIPTION['sub'].items()
  if case['params']['variant'] not in ('full', 'resnet50')
]
LARGE = sorted(set(DESCRIPTION['sub']) - set(SMALL))


@pytest.fixture(scope='module')
def load(tmp_path_factory):
  """load(depth): network and variables, from a file; the last is cached."""

  @functools.lru_cache(maxsize=1)
  def load(depth):
    path = tmp_path_factory.mktemp('resnet') / 'weights.pth'
    torch_files.write_state_dict(
      path, golden.visual_state_dict('resnet152', depth)
    )
    loaded = resnet.load(path)
    path.unlink()
    return loaded

  return load


def close(actual, expected, tolerance):
  assert actual.shape == expected.shape
  error = np.abs(np.asarray(actual, np.float64) - expected).max()
  assert error <= tolerance * np.abs(expected).max()


def evaluate(network, variables, images):
  return jax.jit(functools.partial(network.apply, train=False))(
    variables, images
  )


def check(load, sub):
  """Compares with the golden case of this name, in float32."""
  case, arrays = DESCRIPTION['sub'][sub], golden.sub_arrays(ARRAYS, sub)
  network, variables = load(tuple(case['params']['depth']))
  assert network.blocks == tuple(case['params']['depth'])
  out = evaluate(network, variables, golden.make_inputs(case))
  assert out.dtype == jnp.float32
  close(out, arrays['out'], 1e-5)


@pytest.mark.parametrize('sub', SMALL)
def test_golden(load, sub):
  check(load, sub)


@pytest.mark.slow
@pytest.mark.parametrize('sub', LARGE)
def test_golden_of_full_depth(load, sub):
  check(load, sub)


def test_float64_and_stages(load):
  sub = next(
    sub
    for sub in SMALL
    if f'{sub}/layer4_sub_f64' in ARRAYS and sub.startswith('d1111')
  )
  case, arrays = DESCRIPTION['sub'][sub], golden.sub_arrays(ARRAYS, sub)
  network, variables = load(tuple(case['params']['depth']))
  stages = {f'layer{i}': f'stage{i}_block0' for i in (1, 2, 3, 4)}
  with jax.enable_x64(True):

    @jax.jit
    def apply(variables, images):
      out, state = network.clone(dtype=jnp.float64).apply(
        variables,
        images,
        train=False,
        capture_intermediates=lambda module, _: len(module.path) == 1,
        mutable=['intermediates'],
      )
      layers = state['intermediates']
      return out, {
        name: layers[ours]['__call__'][0].transpose(0, 3, 1, 2)
        for name, ours in stages.items()
      }

    out, layers = apply(
      jax.tree.map(np.float64, variables), golden.make_inputs(case)
    )
  close(out, arrays['out_f64'], 1e-9)
  for name, output in layers.items():
    assert list(output.shape) == case['params']['stage_shapes'][name]
    thinned = golden.subsample(DESCRIPTION, f'{sub}/{name}_sub')
    close(output[thinned], arrays[f'{name}_sub_f64'], 1e-9)


def test_input_is_scaled_to_the_bit():
  description, arrays = golden.load('visual/extractor')
  images = golden.make_inputs(description['sub']['prep2d'])
  table = resnet.scaled_values()
  np.testing.assert_array_equal(table, arrays['ramp/2d'])
  scaled = jax.jit(lambda x: jnp.asarray(table)[x, jnp.arange(3)])(images)
  np.testing.assert_array_equal(
    scaled.transpose(0, 3, 1, 2), arrays['prep2d/out']
  )


def test_training_on_devices_is_training_on_one():
  images = np.random.default_rng(0).integers(0, 256, (4, 33, 40, 3), np.uint8)
  network = resnet.ResNet((1, 1, 1, 1), axis_name='devices')
  variables = jax.jit(functools.partial(network.init, train=False))(
    jax.random.key(0), images
  )
  # At rest the deepest maps here have so few values that rounding grows.
  apply = functools.partial(network.apply, train=True, mutable='batch_stats')
  alone, alone_state = jax.jit(
    functools.partial(
      network.clone(axis_name='').apply, train=True, mutable='batch_stats'
    )
  )(variables, images)
  shared, state = jax.pmap(
    apply, axis_name='devices', in_axes=(None, 0), devices=jax.devices()[:2]
  )(variables, images.reshape(2, 2, *images.shape[1:]))
  jax.block_until_ready(state)
  close(shared.reshape(4, -1), np.asarray(alone, np.float64), 1e-3)
  mean = state['batch_stats']['stem_norm']['mean'][0]
  expected = alone_state['batch_stats']['stem_norm']
  close(mean, np.asarray(expected['mean'], np.float64), 1e-5)
  # PyTorch's running variance is the unbiased one, here of 4 x 17 x 20 values.
  kernel = np.asarray(variables['params']['stem']['kernel'], np.float64)
  scaled = resnet.scaled_values().astype(np.float64)[images, np.arange(3)]
  padded = np.pad(scaled, ((0, 0), (3, 3), (3, 3), (0, 0)))
  patches = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), (1, 2))
  stem = np.einsum('nyxchw,hwco->nyxo', patches[:, ::2, ::2], kernel)
  var = stem.reshape(-1, 64).var(0, ddof=1)
  close(expected['var'], 0.9 + 0.1 * var, 1e-5)


def test_gradients_reach_every_parameter():
  images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
  network = resnet.ResNet((2, 1, 1, 1))
  variables = jax.jit(functools.partial(network.init, train=False))(
    jax.random.key(0), images
  )

  @jax.jit
  def gradient(params):
    def loss(params):
      out, _ = network.apply(
        variables | {'params': params}, images, True, mutable='batch_stats'
      )
      return jnp.square(out - jnp.arange(2048) / 2048).sum()

    return jax.grad(loss)(params)

  for path, x in jax.tree.leaves_with_path(gradient(variables['params'])):
    assert x.dtype == jnp.float32
    assert np.isfinite(x).all(), path
    assert np.abs(x).max() > 0, path


@pytest.fixture(scope='module')
def state():
  return golden.visual_state_dict('resnet152', (1, 1, 1, 1))


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda s: s.pop('bn1.bias'), r"missing \['bn1.bias'\]\.$"),
    (lambda s: s.pop('fc.bias'), r"missing \['fc.bias'\]\.$"),
    (lambda s: s.update(extra=s['bn1.bias']), r"unexpected \['extra'\]\.$"),
    (
      lambda s: s.update({'layer3.9.bn1.bias': s['bn1.bias']}),
      r"missing \['layer3.1.bn1.bias', .* more, unexpected \['layer3.9.bn1.b",
    ),
    (
      lambda s: s.update({'conv1.weight': s['conv1.weight'][:, :, :5]}),
      r'conv1.weight has shape \(64, 3, 5, 7\), which does not convert to \(7',
    ),
    (
      lambda s: s.update({'layer1.0.conv1.weight': np.ones((64, 64, 3, 3))}),
      r'layer1.0.conv1.weight has shape \(64, 64, 3, 3\)',
    ),
    (
      lambda s: s.update({'bn1.weight': np.full(64, np.inf, np.float32)}),
      r"not finite \['bn1.weight'\]\.$",
    ),
    (
      lambda s: (s.pop('bn1.bias'), s.update(extra=s['bn1.weight'])),
      r"missing \['bn1.bias'\], unexpected \['extra'\]\.$",
    ),
  ],
)
def test_loading_is_strict(state, tmp_path, change, message):
  changed = dict(state)
  change(changed)
  torch_files.write_state_dict(tmp_path / 'weights.pth', changed)
  with pytest.raises(torch_files.ReleaseError, match=message):
    resnet.load(tmp_path / 'weights.pth')


def test_no_file(tmp_path):
  with pytest.raises(torch_files.ReleaseError, match=r'none\.pth'):
    resnet.load(tmp_path / 'none.pth')


def test_old_and_parallel_files(state, tmp_path):
  torch_files.write_state_dict(tmp_path / 'plain.pth', state)
  old = {
    f'module.{name}': array
    for name, array in state.items()
    if not name.endswith('num_batches_tracked')
  }
  for name in ('old.pth', 'old.safetensors'):
    torch_files.write_state_dict(tmp_path / name, old)
  network, variables = resnet.load(tmp_path / 'plain.pth')
  assert network.blocks == (1, 1, 1, 1)
  kernel = variables['params']['stage2_block0']['conv2']['kernel']
  np.testing.assert_array_equal(
    kernel.transpose(3, 2, 0, 1), state['layer2.0.conv2.weight']
  )
  for name in ('old.pth', 'old.safetensors'):
    found = resnet.load(tmp_path / name)[1]
    jax.tree.map(np.testing.assert_array_equal, found, variables)


def test_files_of_torch(state, tmp_path):
  torch = pytest.importorskip('torch')
  torch_files.write_state_dict(tmp_path / 'ours.pth', state)
  tensors = {name: torch.tensor(array) for name, array in state.items()}
  expected = resnet.load(tmp_path / 'ours.pth')[1]
  for zipped in (False, True):
    path = tmp_path / f'{zipped}.pth'
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    jax.tree.map(np.testing.assert_array_equal, resnet.load(path)[1], expected)


def test_the_release_has_a_place_for_each_weight():
  """Every entry of ResNet-152 is converted to our layout and back."""
  state = golden.visual_state_dict('resnet152', (3, 8, 36, 3))
  table = weight_map.table(*bottleneck.layers((3, 8, 36, 3), 2))
  assert table.keys() == state.keys()
  paths = [weight.path for weight in table.values() if weight.path]
  assert len(paths) == len(set(paths)) == 932 - 2 - 155
  for name in ('conv1.weight', 'layer3.35.conv1.weight', 'layer4.2.bn3.bias'):
    ours = weight_map.to_ours(table[name], state[name])
    np.testing.assert_array_equal(
      weight_map.to_theirs(table[name], ours), state[name]
    )
