"""Heads that map the output of an encoder to the joint embedding space."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen import dtypes


class Linear(nn.Module):
  """W x + b, both initialised uniformly in +-1 / sqrt(fan-in) like PyTorch's.

  Attributes:
    features: width of the result.
    dtype: compute type; parameters are float32.
  """

  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[..., C] -> [..., features]."""
    fan_in = x.shape[-1]
    bound = fan_in**-0.5

    def uniform(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
      return jax.random.uniform(key, shape, jnp.float32, -bound, bound)

    kernel = self.param('kernel', uniform, (fan_in, self.features))
    bias = self.param('bias', uniform, (self.features,))
    x, kernel, bias = dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    return x @ kernel + bias


class ContextGate(nn.Module):
  """y * sigmoid(W2 y + b2), eq. 3.2: each unit weighed by all the others."""

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, y: jax.Array) -> jax.Array:
    """[..., D] -> [..., D]."""
    gate = Linear(y.shape[-1], self.dtype, name='linear')(y)
    return y * nn.sigmoid(gate)


class GatedEmbedding(nn.Module):
  """y * sigmoid(W2 y + b2) of y = W1 x + b1, eq. 3.1 and 3.2.

  Attributes:
    features: width D of the embedding.
    dtype: compute type; parameters are float32.
  """

  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[..., C] -> [..., D]."""
    y = Linear(self.features, self.dtype, name='linear')(x)
    return ContextGate(self.dtype, name='gate')(y)
