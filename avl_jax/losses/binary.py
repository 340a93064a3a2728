"""Binary losses: each score says whether two clips belong together."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from avl_jax.losses import impostors
from avl_jax.losses import scores as common

Array = jax.Array | np.ndarray
_LEAST_SQUARE = 1e-6  # of a distance between embeddings of length 1


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


def two_way(
  rows: Float[Array, 'n N'],
  columns: Float[Array, 'n N'],
  partners: Int[Array, ' n'],
  *,
  scale: Float[Array, ''],
  bias: Float[Array, ''],
  key: Array,
  other_videos: bool = True,
  clips_per_video: int = 1,
) -> Float[jax.Array, '']:
  """Two-way softmax over distances of AVE-Net (Arandjelovic, Zisserman 2018).

  The binary cross entropy of sigmoid(bias - scale d_ij), d_ij = |x_i - y_j| the
  Euclidean distance, over each pair and one drawn negative of each x.

  AVE-Net has a linear layer of one input and two outputs before a softmax. Such
  a softmax is the sigmoid of the difference of its two inputs, so that one
  weight and one bias, which are learnt here, are all of it.

  Args:
    rows: [n, N] cosines of the n local x and all y: embeddings of length 1,
      `model.normalize`. Then d^2 = 2 - 2 S.
    columns: ignored: they are the scores of the same pairs.
    partners: int [n], index in N of each local pair.
    scale: float scalar, learnt.
    bias: float scalar, learnt.
    key: from which the negatives are drawn.
    other_videos: draw negatives of other videos only, as in the paper.
    clips_per_video: how many pairs in a row are of one video.

  Returns:
    Scalar float32 (float64 for float64 scores): the mean over 2 n pairs.
  """
  del columns
  wide, group = common.widen(rows), clips_per_video if other_videos else 1
  negatives = impostors.draw(key, partners, wide.shape[1], group)
  places = jnp.stack([partners, negatives], 1)  # [n, 2]
  cosines = jnp.take_along_axis(wide, places, axis=1)
  # Not 0, where the gradient of the root is not finite.
  distances = jnp.sqrt(jnp.maximum(2 - 2 * cosines, _LEAST_SQUARE))
  logits = jnp.asarray(bias - scale * distances)
  return _cross_entropy(logits, jnp.array([True, False])).mean()


def _cross_entropy(logits: jax.Array, is_one: jax.Array) -> jax.Array:
  """-log sigmoid(z) where the target is 1, -log sigmoid(-z) where it is 0."""
  return jax.nn.softplus(jnp.where(is_one, -logits, logits))
