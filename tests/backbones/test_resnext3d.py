"""ResNeXt over clips: golden outputs, its convolutions, its weight file."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax import torch_files
from avl_jax.backbones import resnext3d
from tests.helpers import golden

DESCRIPTION, ARRAYS = golden.load('visual/resnext101')


def close(actual, expected, tolerance):
  assert actual.shape == expected.shape
  error = np.abs(np.asarray(actual, np.float64) - expected).max()
  assert error <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize(
  'sub',
  [
    pytest.param(
      sub, marks=pytest.mark.slow if case['params']['variant'] == 'full' else ()
    )
    for sub, case in DESCRIPTION['sub'].items()
  ],
)
def test_golden(sub, tmp_path):
  """From a PyTorch file that was saved with DataParallel."""
  case, arrays = DESCRIPTION['sub'][sub], golden.sub_arrays(ARRAYS, sub)
  depth = tuple(case['params']['depth'])
  state = golden.visual_state_dict('resnext101', depth)
  torch_files.write_state_dict(
    tmp_path / 'resnext101.pth',
    {f'module.{name}': array for name, array in state.items()},
  )
  network, variables = resnext3d.load(tmp_path / 'resnext101.pth')
  assert network.blocks == depth
  clips = golden.make_inputs(case).reshape(-1, *resnext3d.CLIP)

  @jax.jit
  def apply(variables, clips):
    out, state = network.apply(
      variables,
      clips,
      train=False,
      capture_intermediates=lambda module, _: len(module.path) == 1,
      mutable=['intermediates'],
    )
    layers = state['intermediates']
    return out, {
      f'layer{i + 1}': layers[f'stage{i + 1}_block{count - 1}']['__call__'][0]
      for i, count in enumerate(depth)
    }

  out, layers = apply(variables, clips)
  assert out.dtype == jnp.float32
  close(out, arrays['out'], 1e-5)
  for name, layer in layers.items():
    output = layer.transpose(0, 4, 1, 2, 3)
    assert list(output.shape) == case['params']['stage_shapes'][name]
    if f'{name}_sub' in arrays:
      thinned = golden.subsample(DESCRIPTION, f'{sub}/{name}_sub')
      close(output[thinned], arrays[f'{name}_sub'], 3e-5)


@pytest.mark.slow
def test_float64(tmp_path):
  (sub,) = (
    sub
    for sub, case in DESCRIPTION['sub'].items()
    if case['params']['variant'] == 'd1111'
  )
  state = golden.visual_state_dict('resnext101', (1, 1, 1, 1))
  torch_files.write_state_dict(tmp_path / 'resnext101.pth', state)
  network, variables = resnext3d.load(tmp_path / 'resnext101.pth')
  clips = golden.make_inputs(DESCRIPTION['sub'][sub])
  with jax.enable_x64(True):
    apply = functools.partial(
      network.clone(dtype=jnp.float64).apply, train=False
    )
    out = jax.jit(apply)(
      jax.tree.map(np.float64, variables), clips.reshape(-1, *resnext3d.CLIP)
    )
  assert out.dtype == jnp.float64
  close(out, ARRAYS[f'{sub}/out_f64'], 1e-9)


@pytest.mark.parametrize(
  ('channels', 'groups', 'features', 'size', 'stride'),
  [
    (3, 1, 8, 7, (1, 2, 2)),  # the first
    (8, 1, 6, 3, (2, 2, 2)),
    (16, 8, 16, 3, (1, 1, 1)),  # groups of 2, joined by 8
    (16, 4, 24, 3, (2, 2, 2)),  # of 4, joined by 4; more outputs than inputs
    (24, 8, 8, 3, (1, 1, 1)),  # of 3: 5 groups of 8 cannot be joined
    (64, 4, 32, 3, (2, 2, 2)),  # large enough
  ],
)
def test_planar_is_the_convolution(channels, groups, features, size, stride):
  x = golden.normal('planar/x', (2, 5, 8, 7, channels))
  kernel = golden.normal(
    'planar/kernel', (size,) * 3 + (channels // groups, features)
  )
  padding = ((size // 2,) * 2,) * 3
  direct = functools.partial(
    jax.lax.conv_general_dilated,
    window_strides=stride,
    padding=padding,
    dimension_numbers=('NDHWC', 'DHWIO', 'NDHWC'),
    feature_group_count=groups,
  )
  planar = functools.partial(
    resnext3d.planar, strides=stride, padding=padding, groups=groups
  )
  expected, pull = jax.vjp(direct, x, kernel)
  actual, our_pull = jax.vjp(jax.jit(planar), x, kernel)
  close(actual, np.asarray(expected), 1e-5)
  cotangent = golden.normal('planar/cotangent', expected.shape)
  for ours, theirs in zip(our_pull(cotangent), pull(cotangent), strict=True):
    close(ours, np.asarray(theirs), 1e-5)


def test_other_devices_convolve_directly():
  """The program compiled for a GPU has the grouped convolution itself."""
  x = np.zeros((1, 4, 6, 6, 64), np.float32)
  kernel = np.zeros((3, 3, 3, 2, 64), np.float32)
  traced = jax.jit(
    functools.partial(
      resnext3d.convolve,
      window_strides=(1, 1, 1),
      padding=((1, 1),) * 3,
      feature_group_count=32,
      dimension_numbers=('NDHWC', 'DHWIO', 'NDHWC'),
    )
  ).trace(x, kernel)
  text = traced.lower(lowering_platforms=('cuda',)).as_text()
  assert 'feature_group_count = 32' in text
  assert text.count('stablehlo.convolution') == 1
  text = traced.lower(lowering_platforms=('cpu',)).as_text()
  assert text.count('stablehlo.convolution') == 4


def test_a_file_of_images_is_refused(tmp_path):
  state = golden.visual_state_dict('resnet152', (1, 1, 1, 1))
  torch_files.write_state_dict(tmp_path / 'resnet.pth', state)
  with pytest.raises(
    torch_files.ReleaseError,
    match=r'does not hold the weights of a ResNeXt3D: misshapen .*bn',
  ):
    resnext3d.load(tmp_path / 'resnet.pth')
