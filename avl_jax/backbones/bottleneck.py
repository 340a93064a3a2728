"""Bottleneck networks (He et al., 2016) over images or clips, and their files.

ResNet and the three-dimensional ResNeXt differ in the axes and the widths, and
in the groups of a block's middle convolution; what their files call the layers
is the same.
"""

import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from avl_jax.layers.batch_norm import BatchNorm
from avl_jax.torch_files import pretrained, weight_map

_STAGES = 4
_he_fan_out = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


class Bottleneck(nn.Module):
  """A narrow 3x3(x3) convolution between two of 1x1(x1), around a shortcut.

  Attributes:
    width: channels of the middle convolution, which has the stride.
    features: channels of the result.
    stride: on all axes. Where it or the channels change the shape, the
      shortcut is a linear projection, else the input itself.
    groups: of the channels in the middle convolution.
    convolve: computes it; as `jax.lax.conv_general_dilated`.
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
    """[N, ..., C] -> [N, ceil(... / stride), features]."""
    # A product of matrices is faster than a 1x1 convolution on CPU.
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
    return nn.relu(x + y)


class BottleneckNetwork(nn.Module):
  """What `ResNet` and `ResNeXt3D` share: all behind the scaled input.

  Attributes:
    blocks: of each of the four stages; those but the first halve the axes.
    axis_name: mapped axis over whose devices BatchNorm takes the statistics of
      the whole batch in training; '' for those of each device alone.
    dtype: compute type; parameters are float32, statistics at least.
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
    """Stem, stages, and the mean over all axes but the first and last.

    Args:
      x: [N, ..., 3].
      train: normalise by the statistics of the batch and update the running
        ones, which needs `mutable='batch_stats'`.
      stem_stride: of the first convolution.
      width: of the blocks of the first stage; each next one has twice that.
      expansion: a block's `features` are so many times its width.
      groups: see `Bottleneck`.
      convolve: see there.

    Returns:
      [N, 8 * width * expansion], float32 or wider.
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
    return x.mean(range(1, axes + 1))


def layers(blocks: tuple[int, ...], axes: int) -> Iterable[weight_map.Layer]:
  """The layers of a file by their names there, and ours."""
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
  """How many blocks each stage has, at least one, in a file of these names."""
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
  file: str | os.PathLike, network: type[BottleneckNetwork], shape: tuple
) -> tuple[BottleneckNetwork, dict]:
  """The network of a file of PyTorch, with its weights.

  Args:
    file: a state dict. The blocks are as many as it has.
    network: its kind.
    shape: of an input, as the network takes it.

  Returns:
    The network and its {'params', 'batch_stats'}, float32.

  Raises:
    ReleaseError: see `networks.read_network` and `networks.check_variables`.
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
    f'{os.fspath(file)}: not the weights of a {network.__name__}',
  )
  return model, variables
