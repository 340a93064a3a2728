"""Softmax over scores: Masked Margin Softmax and InfoNCE."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

Array = jax.Array | np.ndarray


def masked_margin_softmax(
  rows: Float[Array, 'n N'],
  columns: Float[Array, 'n N'],
  partners: Int[Array, ' n'],
  *,
  margin: float = 0.001,
) -> Float[jax.Array, '']:
  """Masked Margin Softmax loss of this device's pairs, eq. 3.3 and 3.4.

  Args:
    rows: [n, N] scores x_i . y_j of the n local x against all y. The loss is
      computed in float32 or wider whatever the type of the scores.
    columns: [n, N] scores y_i . x_j of the n local y against all x.
    partners: int [n], index in N of each local pair.
    margin: subtracted from the scores of the pairs themselves.

  Returns:
    Scalar float32 (float64 for float64 scores): L(x, y) + L(y, x), each a mean
    over the n local pairs.

  Example:
    scores = audio @ video.T  # [N, N], on one device
    loss = masked_margin_softmax(scores, scores.T, jnp.arange(len(scores)))
  """
  return _one_way(rows, partners, margin) + _one_way(columns, partners, margin)


def infonce(
  rows: Float[Array, 'n N'],
  columns: Float[Array, 'n N'],
  partners: Int[Array, ' n'],
  *,
  symmetric: bool = True,
) -> Float[jax.Array, '']:
  """InfoNCE loss (van den Oord et al. 2018): a softmax without a margin.

  All other pairs of the batch are negatives, those of the same video too
  (thesis, section 3.3.4).

  Args:
    rows: [n, N], see `masked_margin_softmax`.
    columns: [n, N].
    partners: int [n].
    symmetric: add both directions, as Masked Margin Softmax does. False:
      L(x, y) alone, in which x_i chooses among all y. The thesis does not say
      which; it calls Masked Margin Softmax "two applications of InfoNCE".

  Returns:
    Scalar float32 (float64 for float64 scores).
  """
  loss = _one_way(rows, partners, 0.0)
  return loss + _one_way(columns, partners, 0.0) if symmetric else loss


def _one_way(
  scores: Float[Array, 'n N'], partners: Int[Array, ' n'], margin: float
) -> Float[jax.Array, '']:
  """Mean negative log-probability of the pairs, L(x, y) of eq. 3.4."""
  scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
  is_partner = jax.nn.one_hot(partners, scores.shape[1], dtype=scores.dtype)
  log_probability = jax.nn.log_softmax(scores - margin * is_partner, axis=1)
  return -(log_probability * is_partner).sum(1).mean()
