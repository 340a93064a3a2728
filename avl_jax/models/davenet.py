"""ResDAVEnet: a residual network over time that encodes a spectrogram.

The audio branch of AVLnet (thesis, section 3.2.1): the mel bins are the input
channels, so every convolution is one-dimensional.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from avl_jax.layers import winograd

_he_fan_out = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


class BatchNorm(nn.Module):
  """Batch normalisation over all axes but the last, as PyTorch defines it.

  The batch is normalised by its biased variance, but the running variance
  keeps the unbiased one, n / (n - 1) times as large; Flax would keep the biased
  one. Statistics are computed in two passes, mean then squared deviations, in
  float32 or wider whatever the compute type.

  Attributes:
    axis_name: mapped axis over whose devices the statistics are those of the
      whole batch; None for the statistics of each device alone. Unused while
      initialising and with the running statistics.
    dtype: type of the result.
  """

  axis_name: str | None = None
  dtype: Any = jnp.float32
  momentum: float = 0.9
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: jax.Array, use_running_statistics: bool) -> jax.Array:
    """Normalises x [..., C], updating `batch_stats` if it uses the batch's."""
    shape = x.shape[-1:]
    scale = self.param('scale', nn.initializers.ones, shape, jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, shape, jnp.float32)
    running_mean = self.variable(
      'batch_stats', 'mean', jnp.zeros, shape, jnp.float32
    )
    running_var = self.variable(
      'batch_stats', 'var', jnp.ones, shape, jnp.float32
    )
    x = x.astype(jnp.promote_types(self.dtype, jnp.float32))
    if use_running_statistics:
      mean, var = running_mean.value, running_var.value
    else:
      mean, var, n = self._statistics(x)
      if not self.is_initializing():
        kept, new = self.momentum, 1 - self.momentum
        unbiased = var * (n / max(n - 1, 1))
        running_mean.value = kept * running_mean.value + new * mean
        running_var.value = kept * running_var.value + new * unbiased
    y = (x - mean) * (jax.lax.rsqrt(var + self.epsilon) * scale) + bias
    return y.astype(self.dtype)

  def _statistics(self, x: jax.Array) -> tuple[jax.Array, jax.Array, int]:
    """Mean [C], biased variance [C] and number of values of each channel."""
    axes = tuple(range(x.ndim - 1))
    n = x.size // x.shape[-1]
    if not self.axis_name or self.is_initializing():
      mean = x.mean(axes)
      return mean, jnp.square(x - mean).mean(axes), n
    pmean = functools.partial(jax.lax.pmean, axis_name=self.axis_name)
    mean = pmean(x.mean(axes))
    var = pmean(jnp.square(x - mean).mean(axes))
    return mean, var, n * jax.lax.psum(1, self.axis_name)


class ResidualBlock(nn.Module):
  """Two convolutions of width 9 around a shortcut; strided if `stride` > 1.

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
  def __call__(self, x: jax.Array, use_running_statistics: bool) -> jax.Array:
    """[B, T, C] -> [B, ceil(T / stride), features]."""
    # Explicit padding: 'SAME' pads (3, 4) where the stride is 2 and T is even.
    conv = functools.partial(
      nn.Conv,
      self.features,
      kernel_size=(9,),
      padding=((4, 4),),
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
    blocks: residual blocks of each stage; the first of a stage halves the time.
    frozen_statistics: use the running statistics of BatchNorm also in training;
      its scale and bias still learn.
    axis_name: see `BatchNorm`.
    dtype: compute type; parameters are float32.
  """

  widths: tuple[int, ...] = (128, 128, 256, 512, 1024)
  blocks: tuple[int, ...] = (2, 2, 2, 2)
  frozen_statistics: bool = False
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, spectrogram: jax.Array, train: bool) -> jax.Array:
    """Encodes spectrograms.

    Padding frames are convolved like any other: mask them after the encoder.

    Args:
      spectrogram: [B, T, 40] log-mel energies, dB.
      train: normalise by the statistics of the batch and update the running
        ones, which needs `mutable='batch_stats'`.

    Returns:
      [B, T', widths[-1]] in the compute type, non-negative; T' = ceil(T / 16)
      with four stages.
    """
    use_running_statistics = not train or self.frozen_statistics
    stem, *stages = self.widths
    mel_bins = spectrogram.shape[-1]
    x = nn.Dense(
      stem,
      use_bias=False,
      dtype=self.dtype,
      # He's fan-out of the two-dimensional convolution that this layer was.
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
