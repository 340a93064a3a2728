"""Heads that map the output of an encoder to the joint embedding space."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen import dtypes


def uniform(bound: float) -> Callable:
  """An initialiser that draws float32 from -bound to bound."""

  def draw(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.uniform(key, shape, jnp.float32, -bound, bound)

  return draw


class Linear(nn.Module):
  """W x + b, both initialised uniformly in +-1 / sqrt(fan-in) like PyTorch's.

  Attributes:
    features: width of the result.
    dtype: compute type; parameters are float32.
    use_bias: whether there is a b.
    initial_scale: factor of the initial bound; 0 begins with zeros.
  """

  features: int
  dtype: Any = jnp.float32
  use_bias: bool = True
  initial_scale: float = 1.0

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[..., C] -> [..., features]."""
    fan_in = x.shape[-1]
    initial = uniform(self.initial_scale * fan_in**-0.5)
    kernel = self.param('kernel', initial, (fan_in, self.features))
    bias = None
    if self.use_bias:
      bias = self.param('bias', initial, (self.features,))
    x, kernel, bias = dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    y = x @ kernel
    return y if bias is None else y + bias


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


class FusedEmbedding(nn.Module):
  """y * sigmoid(W y + b2) of y = W_a a + W_t t + b1, eq. 4.3.

  A term that is absent is left out: g(a) is then eq. 3.2, as if text had never
  been there.

  Attributes:
    features: width D of the embedding.
    dtype: compute type; parameters are float32.
    separate_biases: give each term a bias of its own instead of b1, as the
      release does.
    initial_text_scale: of the text term's initial values; see `Linear`.
  """

  features: int
  dtype: Any = jnp.float32
  separate_biases: bool = False
  initial_text_scale: float = 1.0

  @nn.compact
  def __call__(
    self, audio: jax.Array | None, text: jax.Array | None
  ) -> dict[str, jax.Array]:
    """Embeds what is there, alone and together.

    Args:
      audio: [N, C] or None.
      text: [N, C'] or None.

    Returns:
      {'audio': g(a), 'text': g(t), 'audio_text': g(a, t)}, each [N, D], of
      the terms that are there.
    """
    inputs = {'audio': (audio, 1.0), 'text': (text, self.initial_text_scale)}
    terms = {
      name: Linear(
        self.features, self.dtype, self.separate_biases, scale, name=name
      )(x)
      for name, (x, scale) in inputs.items()
      if x is not None
    }
    if len(terms) == 2:
      terms['audio_text'] = terms['audio'] + terms['text']
    bias = jnp.zeros(())
    if not self.separate_biases:
      fan_in = sum(x.shape[-1] for x, _ in inputs.values() if x is not None)
      bias = self.param('bias', uniform(fan_in**-0.5), (self.features,))
    gate = ContextGate(self.dtype, name='gate')
    return {name: gate(y + bias.astype(y.dtype)) for name, y in terms.items()}


def max_over_words(words: jax.Array) -> jax.Array:
  """Largest value of each dimension over the words of a caption.

  Slots whose vector is zero are padding and do not count, so that the result
  does not depend on their number; a caption without words gives zeros.

  Args:
    words: [N, W, E], zero-padded.

  Returns:
    [N, E].
  """
  is_word = (words != 0).any(-1, keepdims=True)
  largest = words.max(1, where=is_word, initial=-jnp.inf)
  return jnp.where(is_word.any(1), largest, 0)


class WordMaxPool(nn.Module):
  """max over words of ReLU(W x + b), as the release pools captions.

  Every slot counts, zero-padded ones too, which contribute ReLU(b): the number
  of slots can change the result, and released weights expect 20.

  Attributes:
    features: width of the result.
    dtype: compute type; parameters are float32.
  """

  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, words: jax.Array) -> jax.Array:
    """[N, W, E] -> [N, features]."""
    y = Linear(self.features, self.dtype, name='linear')(words)
    return nn.relu(y).max(1)
