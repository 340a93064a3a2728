"""Heads: map pooled encoder outputs to the joint embedding space."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen import dtypes
from jaxtyping import Float

Array = jax.Array | np.ndarray
HEADS = ('gated', 'linear', 'nonlinear')


def uniform(bound: float) -> Callable:
  """Initializer that draws float32 uniformly from -bound to bound."""

  def draw(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.uniform(key, shape, jnp.float32, -bound, bound)

  return draw


class Linear(nn.Module):
  """Linear layer W x + b with PyTorch's initialization.

  W and b are initialized uniformly in +-1 / sqrt(fan-in).

  Attributes:
    features: width of the result.
    dtype: compute type; parameters are float32.
    use_bias: whether to add b.
    initial_scale: factor of the initial bound; 0 initializes with zeros.
  """

  features: int
  dtype: Any = jnp.float32
  use_bias: bool = True
  initial_scale: float = 1.0

  @nn.compact
  def __call__(self, x: Float[Array, '*n C']) -> Float[jax.Array, '*n D']:
    """Maps [..., C] to [..., features]."""
    fan_in = x.shape[-1]
    initial = uniform(self.initial_scale * fan_in**-0.5)
    kernel = self.param('kernel', initial, (fan_in, self.features))
    bias = None
    if self.use_bias:
      bias = self.param('bias', initial, (self.features,))
    x, kernel, bias = dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    y = x @ kernel  # [..., C] @ [C, features] -> [..., features]
    return y if bias is None else y + bias


class ContextGate(nn.Module):
  """Gate y * sigmoid(W2 y + b2), eq. 3.2; each weight depends on all of y."""

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, y: Float[jax.Array, '*n D']) -> Float[jax.Array, '*n D']:
    """Maps [..., D] to [..., D]."""
    gate = Linear(y.shape[-1], self.dtype, name='linear')(y)
    return y * nn.sigmoid(gate)


def _make_last(head: str, width: int, dtype: Any) -> Callable:
  """Makes what follows y = W1 x + b1 in a head; inside a compact method.

  The thesis compares the three heads (Table 3.3) without the hidden width and
  the activation of the non-linear one. Here these are D and ReLU. It then has
  as many parameters as the gated one, and is SimCLR's head (Chen et al. 2020),
  which the thesis cites, except that SimCLR's hidden layer is as wide as its
  input.

  Args:
    head: 'gated': y * sigmoid(W2 y + b2); 'linear': y; 'nonlinear':
      W2 max(0, y) + b2.
    width: D, of y and of the result.
    dtype: compute type.
  """
  if head == 'gated':
    return ContextGate(dtype, name='gate')
  if head == 'linear':
    return lambda y: y
  output = Linear(width, dtype, name='output')
  return lambda y: output(nn.relu(y))


class Embedding(nn.Module):
  """Head of one modality: y = W1 x + b1, then see `head`.

  Attributes:
    features: width D of the embedding.
    dtype: compute type; parameters are float32.
    head: 'gated', y * sigmoid(W2 y + b2), eq. 3.1 and 3.2; 'linear', y;
      'nonlinear', W2 max(0, y) + b2 with D hidden units.
  """

  features: int
  dtype: Any = jnp.float32
  head: str = 'gated'

  @nn.compact
  def __call__(self, x: Float[Array, '*n C']) -> Float[jax.Array, '*n D']:
    """Maps [..., C] to [..., D]."""
    y = Linear(self.features, self.dtype, name='linear')(x)
    return _make_last(self.head, self.features, self.dtype)(y)


class FusedEmbedding(nn.Module):
  """Fused embedding y * sigmoid(W y + b2), y = W_a a + W_t t + b1, eq. 4.3.

  A missing modality's term is left out of the sum. Without text, g(a) is eq.
  3.2, the embedding of a model that has no text branch.

  Attributes:
    features: width D of the embedding.
    dtype: compute type; parameters are float32.
    separate_biases: give each term a bias of its own instead of b1, as the
      release does.
    initial_text_scale: `initial_scale` of the text term; see `Linear`.
    head: see `Embedding`; y is the sum.
  """

  features: int
  dtype: Any = jnp.float32
  separate_biases: bool = False
  initial_text_scale: float = 1.0
  head: str = 'gated'

  @nn.compact
  def __call__(
    self,
    audio: Float[Array, 'N C'] | None,
    text: Float[Array, 'N E'] | None,
  ) -> dict[str, Float[jax.Array, 'N D']]:
    """Embeds each given modality alone and, if both are given, their sum.

    Args:
      audio: [N, C] or None.
      text: [N, E] or None.

    Returns:
      {'audio': g(a), 'text': g(t), 'audio_text': g(a, t)}, each [N, D], for
      the given modalities; {} of none, as in a batch of pictures alone.
    """
    if audio is None and text is None:
      return {}
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
    last = _make_last(self.head, self.features, self.dtype)
    return {name: last(y + bias.astype(y.dtype)) for name, y in terms.items()}


def max_over_words(
  words: Float[Array, 'N W E'],
) -> Float[jax.Array, 'N E']:
  """Maximum of each dimension over the words of a caption.

  Slots whose vector is zero are padding and do not count, so the result does
  not depend on the number of slots. A caption without words gives zeros.

  Args:
    words: [N, W, E], zero-padded.

  Returns:
    [N, E].
  """
  is_word = (words != 0).any(-1, keepdims=True)
  largest = words.max(1, where=is_word, initial=-jnp.inf)
  return jnp.where(is_word.any(1), largest, 0)


class WordMaxPool(nn.Module):
  """Maximum over words of ReLU(W x + b), as the release pools captions.

  Every slot counts. A zero-padded slot contributes ReLU(b), so the number of
  slots can change the result; the released weights expect 20 slots.

  Attributes:
    features: width of the result.
    dtype: compute type; parameters are float32.
  """

  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, words: Float[Array, 'N W E']) -> Float[jax.Array, 'N D']:
    """Maps [N, W, E] to [N, features]."""
    y = Linear(self.features, self.dtype, name='linear')(words)
    return nn.relu(y).max(1)


def l2_normalize(x: Float[jax.Array, '*n C']) -> Float[jax.Array, '*n C']:
  """Scales vectors [..., C] to length 1.

  Lengths below 1e-12 count as 1e-12, as in the input pipeline, so that a zero
  vector stays zero and has a finite gradient.
  """
  square = jnp.square(x).sum(-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))
