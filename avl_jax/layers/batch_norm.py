"""Batch normalization as in PyTorch, with statistics of one or all devices."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

Array = jax.Array


class BatchNorm(nn.Module):
  """Batch normalization over all axes but the last, as PyTorch defines it.

  The batch is normalized by its biased variance, but the running variance is
  the unbiased one, n / (n - 1) times as large; Flax's own layer keeps the
  biased one. Statistics are float32 or wider whatever the compute type.

  Attributes:
    axis_name: mapped axis over whose devices the statistics are averaged, so
      that they are those of the whole batch; None: each device uses the
      statistics of its own share. Unused during initialization and with the
      running statistics.
    dtype: type of the result.
    momentum: weight of the old running statistics in an update.
    epsilon: added to the variance.
  """

  axis_name: str | None = None
  dtype: Any = jnp.float32
  momentum: float = 0.9
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: Array, use_running_statistics: bool) -> Array:
    """Normalizes x; updates `batch_stats` if it uses those of the batch.

    Args:
      x: [..., C].
      use_running_statistics: normalize by the running statistics instead of
        those of the batch.

    Returns:
      [..., C] of type `dtype`.
    """
    shape = x.shape[-1:]
    scale = self.param('scale', nn.initializers.ones, shape, jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, shape, jnp.float32)
    running_mean = self.variable(
      'batch_stats', 'mean', jnp.zeros, shape, jnp.float32
    )
    running_var = self.variable(
      'batch_stats', 'var', jnp.ones, shape, jnp.float32
    )
    if use_running_statistics:
      x = x.astype(_wide(self.dtype))
      mean, var = running_mean.value, running_var.value
      y = (x - mean) * (jax.lax.rsqrt(var + self.epsilon) * scale) + bias
      return y.astype(self.dtype)
    axis_name = None if self.is_initializing() else self.axis_name or None
    y, mean, var = normalize(
      x, scale, bias, self.epsilon, axis_name, self.dtype
    )
    if not self.is_initializing():
      n = _count(x, axis_name)
      kept, new = self.momentum, 1 - self.momentum
      unbiased = var * (n / max(n - 1, 1))
      running_mean.value = kept * running_mean.value + new * mean
      running_var.value = kept * running_var.value + new * unbiased
    return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def normalize(
  x: Array,
  scale: Array,
  bias: Array,
  epsilon: float,
  axis_name: str | None,
  dtype: Any,
) -> tuple[Array, Array, Array]:
  """Normalizes by the batch's statistics, with a gradient of its own.

  It reads x once for the statistics and once for the result; its gradient
  reads x and the result's gradient as often, and keeps only x, in the type it
  has. Several devices exchange the statistics in one collective, and so does
  the gradient.

  Args:
    x: [..., C].
    scale: [C].
    bias: [C].
    epsilon: added to the variance.
    axis_name: mapped axis that the statistics are of, or None.
    dtype: type of the result; what is computed is float32 or wider.

  Returns:
    y [..., C], and the batch's mean [C] and biased variance [C], which have no
    gradient.
  """
  return _forward(x, scale, bias, epsilon, axis_name, dtype)[0]


def _forward(x, scale, bias, epsilon, axis_name, dtype):
  wide = x.astype(_wide(dtype))
  mean, var = _statistics(wide, axis_name)
  factor = jax.lax.rsqrt(var + epsilon)
  y = (wide - mean) * (factor * scale) + bias
  return (y.astype(dtype), mean, var), (x, scale, mean, factor)


def _backward(epsilon, axis_name, dtype, kept, gradients):
  del epsilon
  x, scale, mean, factor = kept
  gradient = gradients[0].astype(_wide(dtype))
  centred = x.astype(_wide(dtype)) - mean
  axes = tuple(range(x.ndim - 1))
  sums = jnp.stack([gradient.sum(axes), (gradient * centred).sum(axes)])
  of_bias, of_scale = sums[0], sums[1] * factor
  if axis_name:
    sums = jax.lax.psum(sums, axis_name)
  means = sums / _count(x, axis_name)
  of_x = gradient - means[0] - centred * (means[1] * jnp.square(factor))
  of_x = (of_x * (factor * scale)).astype(x.dtype)
  return of_x, of_scale.astype(scale.dtype), of_bias.astype(scale.dtype)


normalize.defvjp(_forward, _backward)


def _statistics(x: Array, axis_name: str | None) -> tuple[Array, Array]:
  """Mean [C] and biased variance [C] of all values of each channel.

  Sums of values and of their squares cancel where the mean is many deviations
  from 0, so the mean of the first example is subtracted from all values. Where
  that example alone is unlike the others, such as silence, the variance has a
  relative error of about 2e-7 times the number of examples.
  """
  axes = tuple(range(x.ndim - 1))
  shift = x[:1].mean(axes)
  shifted = x - shift
  offset, square = shifted.mean(axes), jnp.square(shifted).mean(axes)
  mean, var = shift + offset, jnp.maximum(square - jnp.square(offset), 0)
  if not axis_name:
    return mean, var
  # Each device has its own shift. The variance is that within devices and that
  # between them (Chan et al. 1983).
  means, variances = jax.lax.all_gather(
    jnp.stack([mean, var]), axis_name, axis=1
  )  # [devices, C] each
  mean = means.mean(0)
  return mean, (variances + jnp.square(means - mean)).mean(0)


def _count(x: Array, axis_name: str | None) -> int:
  """Number of values per channel, on all devices."""
  n = x.size // x.shape[-1]
  return n * jax.lax.psum(1, axis_name) if axis_name else n


def _wide(dtype: Any) -> Any:
  return jnp.promote_types(dtype, jnp.float32)
