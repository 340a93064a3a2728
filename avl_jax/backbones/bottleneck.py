"""Bottleneck networks (He et al., 2016) for images or clips, and their files.

ResNet and the three-dimensional ResNeXt differ in the axes, the widths, and the
groups of a block's middle convolution. The layer names in their files are the
same.
"""

import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from avl_jax.layers.batch_norm import BatchNorm
from avl_jax.layers.residual import relu_of_sum
from avl_jax.torch_files import pretrained, weight_map

_STAGES = 4
_he_fan_out = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


class Bottleneck(nn.Module):
  """Bottleneck block: convolutions 1x1(x1), 3x3(x3), 1x1(x1), and a shortcut.

  Attributes:
    width: channels of the middle convolution, which has the stride.
    features: channels of the result.
    stride: on all axes. If the stride or the channels change the shape, the
      shortcut is a linear projection, else the input itself.
    groups: channel groups of the middle convolution.
    convolve: function that computes the middle convolution, with the
      arguments of `jax.lax.conv_general_dilated`.
    axis_name: see `BatchNorm`.
    dtype: compute type; parameters are float32.
  """

  width: int
  features: int
  stride: int = 1
  groups: int = 1
  convolve: Callable = jax.lax.conv_general_dilated
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, use_running_statistics: bool) -> jax.Array:
    """Maps [N, ..., C] to [N, ceil(... / stride), features]."""
    # A matrix product is faster than a 1x1 convolution on a CPU.
    pointwise = functools.partial(
      nn.Dense, use_bias=False, dtype=self.dtype, kernel_init=_he_fan_out
    )

    def norm(x: jax.Array, name: str) -> jax.Array:
      layer = BatchNorm(self.axis_name, self.dtype, name=name)
      return layer(x, use_running_statistics)

    y = nn.relu(norm(pointwise(self.width, name='conv1')(x), 'norm1'))
    y = nn.Conv(
      self.width,
      kernel_size=(3,) * (x.ndim - 2),
      strides=self.stride,
      padding=1,
      feature_group_count=self.groups,
      use_bias=False,
      dtype=self.dtype,
      kernel_init=_he_fan_out,
      conv_general_dilated=self.convolve,
      name='conv2',
    )(y)
    y = nn.relu(norm(y, 'norm2'))
    y = norm(pointwise(self.features, name='conv3')(y), 'norm3')
    if x.shape != y.shape:
      every = (slice(None, None, self.stride),) * (x.ndim - 2)
      x = pointwise(self.features, name='shortcut')(x[:, *every])
      x = norm(x, 'shortcut_norm')
    return relu_of_sum(x, y)


class BottleneckNetwork(nn.Module):
  """Base of `ResNet` and `ResNeXt3D`: everything after the scaled input.

  Attributes:
    blocks: number of blocks of each of the four stages; stages 2 to 4 halve
      the axes.
    axis_name: mapped axis over which BatchNorm takes the statistics of the
      whole batch in training; '': each device uses its own.
    dtype: compute type; parameters are float32, statistics float32 or wider.
  """

  blocks: tuple[int, ...]
  axis_name: str = ''
  dtype: Any = jnp.float32

  def encode(
    self,
    x: jax.Array,
    train: bool,
    *,
    stem_stride: int | tuple[int, ...],
    width: int,
    expansion: int,
    groups: int = 1,
    convolve: Callable = jax.lax.conv_general_dilated,
  ) -> jax.Array:
    """Applies stem and stages, and averages all axes but the first and last.

    Args:
      x: [N, ..., 3].
      train: normalize by the statistics of the batch and update the running
        ones, which needs `mutable='batch_stats'`.
      stem_stride: of the first convolution.
      width: of the blocks of the first stage; each later stage doubles it.
      expansion: a block's `features` divided by its width.
      groups: see `Bottleneck`.
      convolve: see `Bottleneck`.

    Returns:
      [N, 8 * width * expansion], float32 or wider; 'grid' of the collection
      'intermediates' is the map before the average.
    """
    axes = x.ndim - 2
    # Explicit padding: 'SAME' would pad (2, 3) where sizes are even.
    x = nn.Conv(
      64,
      kernel_size=(7,) * axes,
      strides=stem_stride,
      padding=3,
      use_bias=False,
      dtype=self.dtype,
      kernel_init=_he_fan_out,
      conv_general_dilated=convolve,
      name='stem',
    )(x)
    norm = BatchNorm(self.axis_name, self.dtype, name='stem_norm')
    x = nn.relu(norm(x, not train))
    x = nn.max_pool(x, (3,) * axes, (2,) * axes, padding=((1, 1),) * axes)
    for i, count in enumerate(self.blocks):
      for j in range(count):
        x = Bottleneck(
          width << i,
          (width << i) * expansion,
          stride=2 if i and not j else 1,
          groups=groups,
          convolve=convolve,
          axis_name=self.axis_name,
          dtype=self.dtype,
          name=f'stage{i + 1}_block{j}',
        )(x, not train)
    x = x.astype(jnp.promote_types(self.dtype, jnp.float32))
    self.sow('intermediates', 'grid', x)
    return x.mean(range(1, axes + 1))


Network = TypeVar('Network', bound=BottleneckNetwork)


def layers(blocks: tuple[int, ...], axes: int) -> Iterable[weight_map.Layer]:
  """Yields the layers of a file: its name, our name, and the axes to drop.

  Args:
    blocks: number of blocks of each stage.
    axes: number of axes of the convolutions, 2 or 3.
  """
  ones = tuple(range(2, 2 + axes))
  yield 'conv1', 'stem', ()
  yield 'bn1', 'stem_norm', weight_map.NORM
  for stage, count in enumerate(blocks, 1):
    for block in range(count):
      theirs, ours = f'layer{stage}.{block}', f'stage{stage}_block{block}'
      for i in (1, 2, 3):
        yield f'{theirs}.conv{i}', f'{ours}/conv{i}', () if i == 2 else ones
        yield f'{theirs}.bn{i}', f'{ours}/norm{i}', weight_map.NORM
      if not block:
        yield f'{theirs}.downsample.0', f'{ours}/shortcut', ones
        yield f'{theirs}.downsample.1', f'{ours}/shortcut_norm', weight_map.NORM
  yield 'fc', weight_map.UNUSED, weight_map.LINEAR


def _blocks(names: Iterable[str]) -> tuple[int, ...]:
  """Number of blocks of each stage, at least one, by the names in a file."""
  found = {
    match[0]
    for match in map(re.compile(r'layer\d\.\d+\.').match, names)
    if match
  }
  return tuple(
    max(1, sum(name.startswith(f'layer{stage}.') for name in found))
    for stage in range(1, _STAGES + 1)
  )


def load(
  file: str | os.PathLike, network: type[Network], shape: tuple
) -> tuple[Network, dict]:
  """Loads a network from a file of PyTorch's users, `.pth` or `.safetensors`.

  Args:
    file: state dict; it determines the number of blocks.
    network: class of the network.
    shape: shape of an input.

  Returns:
    The network and its {'params', 'batch_stats'}, float32.

  Raises:
    ReleaseError: see `pretrained.read_network` and
      `pretrained.check_variables`.
  """
  state = pretrained.read_network(file)
  model = network(_blocks(state))
  shapes: Mapping = jax.eval_shape(
    functools.partial(model.init, train=False),
    jax.random.key(0),
    jax.ShapeDtypeStruct(shape, jnp.uint8),
  )
  variables = pretrained.check_variables(
    state,
    weight_map.table(*layers(model.blocks, len(shape) - 2)),
    traverse_util.flatten_dict(shapes),
    f'{os.fspath(file)} does not hold the weights of a {network.__name__}',
  )
  return model, variables
