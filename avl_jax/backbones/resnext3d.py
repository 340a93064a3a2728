"""ResNeXt-101 over clips (Hara et al., 2018), the thesis' motion encoder.

The 3-D features equal those of the authors' extractor (`videocnn/` of
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
CLIP = (16, 112, 112, 3)  # frames, height, width, channels
_MEAN = np.array([110.6, 103.2, 96.3], np.float32)
_GROUPS = 32
_FEWEST = 16  # channels per group from which grouped convolution is fast (CPU)


class ResNeXt3D(bottleneck.BottleneckNetwork):
  """ResNeXt of cardinality 32 over time, height and width.

  Attributes:
    blocks: number of blocks of each of the four stages.
    axis_name: see `bottleneck.BottleneckNetwork`.
    dtype: see `bottleneck.BottleneckNetwork`.
  """

  blocks: tuple[int, ...] = (3, 4, 23, 3)

  @nn.compact
  def __call__(self, clips: jax.Array, train: bool) -> jax.Array:
    """Computes features of clips.

    Args:
      clips: uint8 [N, 16, 112, 112, 3], RGB; black frames after a video's end.
      train: normalize by the statistics of the batch and update the running
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
    file: state dict; its names may begin with `module.`. It must contain `fc`,
      which is not used.

  Returns:
    The network with as many blocks as the file has, and its {'params',
    'batch_stats'}, float32.

  Raises:
    ReleaseError: the file is missing or cannot be read, or its entries are not
      those of the network; the message names them.
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
  """Convolves clips: by `planar` on a CPU, else by XLA's own convolution.

  Args:
    x: [N, T, H, W, C].
    kernel: [time, height, width, C / groups, D].
    window_strides: of time, height and width.
    padding: (before, after) of time, height and width.
    feature_group_count: number of channel groups.
    **options: other options of Flax' call of
      `jax.lax.conv_general_dilated`; no dilation.

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
  """Convolves clips as images whose channels hold the frames of the kernel.

  XLA's three-dimensional convolutions with few channels are slow on a CPU: the
  network's first takes six times as long as this function, a grouped one of
  stage 1 twenty times. Small groups are merged into kernels of 16 channels,
  with zeros between the groups, and convolved one after the other.

  Args:
    x: [N, T, H, W, C].
    kernel: [time, height, width, C / groups, D].
    strides: of time, height and width.
    padding: (before, after) of time, height and width.
    groups: number of channel groups.

  Returns:
    [N, T', H', W', D].
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
