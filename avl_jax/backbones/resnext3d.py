"""ResNeXt-101 over clips (Hara et al., 2018), the thesis' motion encoder.

Its 3-D features are those of the authors' extractor (`videocnn/` of
`video_feature_extractor`) with the weights `resnext101.pth`, trained on
Kinetics.
"""

import functools
import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from avl_jax.backbones import bottleneck

WIDTH = 2048
CLIP = (16, 112, 112, 3)
_MEAN = np.array([110.6, 103.2, 96.3], np.float32)
_GROUPS = 32
_FEWEST = 16  # channels of a group from which a CPU convolves groups fast


class ResNeXt3D(bottleneck.BottleneckNetwork):
  """ResNeXt of cardinality 32 over time, height and width.

  Attributes:
    blocks: of each of the four stages.
    axis_name: see `bottleneck.BottleneckNetwork`.
    dtype: see there.
  """

  blocks: tuple[int, ...] = (3, 4, 23, 3)

  @nn.compact
  def __call__(self, clips: jax.Array, train: bool) -> jax.Array:
    """Features of clips.

    Args:
      clips: uint8 [N, 16, 112, 112, 3], RGB; black where a video ends.
      train: normalise by the statistics of the batch and update the running
        ones, which needs `mutable='batch_stats'`.

    Returns:
      [N, 2048], the mean over the last map; float32, or float64 if `dtype` is.
    """
    return self.encode(
      (clips.astype(jnp.float32) - _MEAN).astype(self.dtype),
      train,
      stem_stride=(1, 2, 2),
      width=128,
      expansion=2,
      groups=_GROUPS,
      convolve=convolve,
    )


def load(file: str | os.PathLike) -> tuple[ResNeXt3D, dict]:
  """Reads weights in the format of `resnext101.pth`.

  Args:
    file: a state dict; its names may begin with `module.`, and `fc` is in it
      and not used.

  Returns:
    The network with as many blocks as the file has, and its {'params',
    'batch_stats'}, float32.

  Raises:
    ReleaseError: there is no such file, it cannot be read, or its entries are
      not those of the network; the message names them.
  """
  return bottleneck.load(file, ResNeXt3D, (1, *CLIP))


def convolve(
  x: jax.Array,
  kernel: jax.Array,
  window_strides: Sequence[int],
  padding: Sequence[tuple[int, int]],
  feature_group_count: int = 1,
  **options,
) -> jax.Array:
  """`jax.lax.conv_general_dilated` of clips, by `planar` on a CPU.

  Args:
    x: [N, T, H, W, C].
    kernel: [time, height, width, C / groups, D].
    window_strides: three numbers.
    padding: three pairs.
    feature_group_count: the groups.
    **options: the others that Flax passes on; no dilation.

  Returns:
    [N, T', H', W', D].
  """
  return jax.lax.platform_dependent(
    x,
    kernel,
    cpu=functools.partial(
      planar,
      strides=window_strides,
      padding=padding,
      groups=feature_group_count,
    ),
    default=functools.partial(
      jax.lax.conv_general_dilated,
      window_strides=window_strides,
      padding=padding,
      feature_group_count=feature_group_count,
      **options,
    ),
  )


def planar(
  x: jax.Array,
  kernel: jax.Array,
  strides: Sequence[int],
  padding: Sequence[tuple[int, int]],
  groups: int,
) -> jax.Array:
  """A convolution of clips as one of images, whose channels hold the time.

  XLA's three-dimensional convolutions of few channels are slow on CPU: the
  first of the network takes six times as long as this, a grouped one of stage
  1 twenty times. Small groups are joined, with zeros between them, to kernels
  of 16 channels, and convolved one after the other.

  Args:
    x: see `convolve`.
    kernel: see there.
    strides: of time, height and width.
    padding: of the same.
    groups: see there.
  """
  taps, *_, channels, features = kernel.shape
  joined = _FEWEST // channels
  if groups > 1 and joined > 1 and groups % joined == 0:
    parts = groups // joined
    own = np.arange(joined * channels)[:, None] // channels
    other = np.arange(features) // (features // groups) % joined
    kernel = jnp.tile(kernel, (1, 1, 1, joined, 1)) * (own == other)
    each = zip(
      jnp.split(x, parts, -1), jnp.split(kernel, parts, -1), strict=True
    )
    return jnp.concatenate(
      [planar(part, k, strides, padding, 1) for part, k in each], -1
    )
  x = jnp.pad(x, ((0, 0), padding[0], (0, 0), (0, 0), (0, 0)))
  length = (x.shape[1] - taps) // strides[0] + 1
  x = x.reshape(*x.shape[:-1], groups, channels)
  last = (length - 1) * strides[0] + 1
  x = jnp.concatenate(
    [x[:, i : i + last : strides[0]] for i in range(taps)], -1
  )
  images = jax.lax.conv_general_dilated(
    x.reshape(-1, *x.shape[2:4], groups * taps * channels),
    jnp.concatenate(list(kernel), -2),
    strides[1:],
    padding[1:],
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
  )
  return images.reshape(-1, length, *images.shape[1:])
