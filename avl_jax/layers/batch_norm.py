"""Batch normalization as in PyTorch, with statistics of one or all devices."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


class BatchNorm(nn.Module):
  """Batch normalization over all axes but the last, as PyTorch defines it.

  The batch is normalized by its biased variance, but the running variance is
  the unbiased one, n / (n - 1) times as large; Flax's own layer keeps the
  biased one. Statistics are computed in two passes, the mean and then the
  squared deviations, in float32 or wider whatever the compute type.

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
  def __call__(self, x: jax.Array, use_running_statistics: bool) -> jax.Array:
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
    """Mean [C], biased variance [C], and the number of values per channel."""
    axes = tuple(range(x.ndim - 1))
    n = x.size // x.shape[-1]
    if not self.axis_name or self.is_initializing():
      mean = x.mean(axes)
      return mean, jnp.square(x - mean).mean(axes), n
    pmean = functools.partial(jax.lax.pmean, axis_name=self.axis_name)
    mean = pmean(x.mean(axes))
    var = pmean(jnp.square(x - mean).mean(axes))
    return mean, var, n * jax.lax.psum(1, self.axis_name)
