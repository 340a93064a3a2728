"""ResDAVEnet, the audio encoder: a residual network over spectrogram frames.

It is the audio branch of AVLnet (thesis, section 3.2.1). The mel bins are the
input channels, so every convolution is one-dimensional.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float, Int

from avl_jax.layers import winograd
from avl_jax.layers.batch_norm import BatchNorm

Array = jax.Array | np.ndarray
_WIDTH = 9  # frames that a convolution sees
_he_fan_out = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


class ResidualBlock(nn.Module):
  """Residual block: two convolutions of width 9, and a shortcut around them.

  Attributes:
    features: channels of the result.
    stride: of the first convolution. If it is not 1, the shortcut is a linear
      projection of every `stride`-th frame, else the input itself.
    axis_name: see `BatchNorm`.
    dtype: compute type; parameters are float32.
  """

  features: int
  stride: int = 1
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, 'N T C'], use_running_statistics: bool
  ) -> Float[jax.Array, 'N S D']:
    """Maps [N, T, C] to [N, ceil(T / stride), features]."""
    # Explicit padding: 'SAME' pads (3, 4) where the stride is 2 and T is even.
    conv = functools.partial(
      nn.Conv,
      self.features,
      kernel_size=(_WIDTH,),
      padding=((_WIDTH // 2, _WIDTH // 2),),
      use_bias=False,
      dtype=self.dtype,
      kernel_init=_he_fan_out,
      conv_general_dilated=winograd.convolve,
    )
    norm = functools.partial(
      BatchNorm, axis_name=self.axis_name, dtype=self.dtype
    )
    y = conv(strides=self.stride, name='conv1')(x)
    y = nn.relu(norm(name='norm1')(y, use_running_statistics))
    y = conv(name='conv2')(y)
    y = norm(name='norm2')(y, use_running_statistics)
    if self.stride != 1:
      x = nn.Dense(
        self.features,
        use_bias=False,
        dtype=self.dtype,
        kernel_init=_he_fan_out,
        name='shortcut',
      )(x[:, :: self.stride])
      x = norm(name='shortcut_norm')(x, use_running_statistics)
    return nn.relu(x + y)


class DAVEnet(nn.Module):
  """ResDAVEnet audio encoder, trained from scratch.

  Attributes:
    widths: channels of the stem, then of each stage.
    blocks: number of residual blocks of each stage; the first block of a stage
      halves the number of frames.
    frozen_statistics: use BatchNorm's running statistics in training too; its
      scale and bias are still trained.
    axis_name: see `BatchNorm`.
    dtype: compute type; parameters are float32.
  """

  widths: tuple[int, ...] = (128, 128, 256, 512, 1024)
  blocks: tuple[int, ...] = (2, 2, 2, 2)
  frozen_statistics: bool = False
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, spectrogram: Float[Array, 'N T mel_bins'], train: bool
  ) -> Float[jax.Array, 'N S D']:
    """Encodes spectrograms.

    Padding frames are convolved like any other: mask them after the encoder.

    Args:
      spectrogram: [N, T, 40] log-mel energies, dB.
      train: normalize by the statistics of the batch and update the running
        ones, which needs `mutable='batch_stats'`.

    Returns:
      [N, T', widths[-1]] in the compute type, non-negative; T' = ceil(T / 16)
      with four stages.
    """
    use_running_statistics = not train or self.frozen_statistics
    stem, *stages = self.widths
    mel_bins = spectrogram.shape[-1]
    x = nn.Dense(
      stem,
      use_bias=False,
      dtype=self.dtype,
      # He's fan-out of the authors' 2-D convolution, [mel_bins, 1] kernels.
      kernel_init=nn.initializers.normal((2 / (mel_bins * stem)) ** 0.5),
      name='stem',
    )(spectrogram)
    x = BatchNorm(self.axis_name, self.dtype, name='stem_norm')(
      x, use_running_statistics
    )
    x = nn.relu(x)
    for i, (width, count) in enumerate(zip(stages, self.blocks, strict=True)):
      for j in range(count):
        x = ResidualBlock(
          width,
          stride=2 if j == 0 else 1,
          axis_name=self.axis_name,
          dtype=self.dtype,
          name=f'stage{i + 1}_block{j}',
        )(x, use_running_statistics)
    return x


def reach(blocks: Sequence[int]) -> int:
  """Frames of input behind an encoded frame on which it depends, at most.

  Args:
    blocks: see `DAVEnet`.
  """
  convolutions, stride = 0, 1  # The first of a stage halves the frames.
  for count in blocks:
    convolutions += stride + 2 * stride * (2 * count - 1)
    stride *= 2
  return _WIDTH // 2 * convolutions


def masked_mean(
  x: Float[Array, 'N S C'], num_frames: Int[Array, ' N'], num_inputs: int
) -> Float[jax.Array, 'N C']:
  """Mean over the encoded frames that are not padding.

  Padding must not count: it is zero, and 0 dB is the loudest cell of a file, so
  padding is as loud as the loudest sound. The first max(1, num_frames // ratio)
  frames are averaged, with ratio = round(T / T'), as in the release.

  Args:
    x: [N, T', C] encoded frames.
    num_frames: int [N], number of frames of each spectrogram before padding;
      more than T means all.
    num_inputs: T, frames of the padded spectrograms.

  Returns:
    [N, C], float32 or wider.
  """
  length = x.shape[1]
  ratio = round(num_inputs / length)
  n = jnp.maximum(1, num_frames // ratio)
  is_real = jnp.arange(length) < n[:, None]
  return x.mean(
    1,
    dtype=jnp.promote_types(x.dtype, jnp.float32),
    where=is_real[:, :, None],
  )
