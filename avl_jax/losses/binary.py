"""Binary losses: each score says whether two clips belong together."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from avl_jax.losses import scores as common

Array = jax.Array | np.ndarray


def binary_cross_entropy(
  rows: Float[Array, 'n N'],
  columns: Float[Array, 'n N'],
  partners: Int[Array, ' n'],
  *,
  balanced: bool = False,
) -> Float[jax.Array, '']:
  """Binary cross entropy of sigmoid(S_ij), 1 for i = j and 0 for the others.

  The thesis cites AVE-Net (Arandjelovic and Zisserman 2018) and states neither
  the pairs nor their balance. Here the scores are AVLnet's dot products.

  Args:
    rows: [n, N] scores of the n local x against all y.
    columns: ignored: they are the scores of the same pairs.
    partners: int [n], index in N of each local pair.
    balanced: half of the weight is that of the N pairs that belong together,
      which is the expectation over one drawn negative for each of them. False:
      all N^2 weigh the same.

  Returns:
    Scalar float32 (float64 for float64 scores).
  """
  del columns
  is_partner = common.is_partner(partners, rows.shape[1])
  entropy = _cross_entropy(common.widen(rows), is_partner)
  if not balanced:
    return entropy.mean()
  positive = entropy.sum(1, where=is_partner)
  negative = entropy.sum(1, where=~is_partner) / max(rows.shape[1] - 1, 1)
  return (positive + negative).mean() / 2


def sigmoid(
  rows: Float[Array, 'n N'],
  columns: Float[Array, 'n N'],
  partners: Int[Array, ' n'],
  *,
  log_scale: Float[Array, ''],
  bias: Float[Array, ''],
) -> Float[jax.Array, '']:
  """Sigmoid loss of SigLIP (Zhai et al. 2023) with a learnt scale and bias.

  The sum over j, averaged over i, of the binary cross entropy of
  sigmoid(exp(log_scale) S_ij + bias).

  Args:
    rows: [n, N] scores of the n local x against all y.
    columns: ignored: they are the scores of the same pairs.
    partners: int [n], index in N of each local pair.
    log_scale: float scalar, learnt; log(10) at first, as in SigLIP.
    bias: float scalar, learnt; -10 at first, as in SigLIP, so that the many
      negatives do not make the first steps large.

  Returns:
    Scalar float32 (float64 for float64 scores).
  """
  del columns
  is_partner = common.is_partner(partners, rows.shape[1])
  logits = jnp.exp(log_scale) * common.widen(rows) + bias
  return _cross_entropy(logits, is_partner).sum(1).mean()


def _cross_entropy(logits: jax.Array, is_one: jax.Array) -> jax.Array:
  """-log sigmoid(z) where the target is 1, -log sigmoid(-z) where it is 0."""
  return jax.nn.softplus(jnp.where(is_one, -logits, logits))
