"""Ranking losses: the scores of other pairs stay a margin below a pair's."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from avl_jax.losses import impostors as drawn
from avl_jax.losses import scores as common

Array = jax.Array | np.ndarray


def max_margin(
  rows: Float[Array, 'n N'],
  columns: Float[Array, 'n N'],
  partners: Int[Array, ' n'],
  *,
  margin: float = 0.1,
  diagonal: bool = True,
  intra_video: float = 0.0,
  clips_per_video: int = 1,
) -> Float[jax.Array, '']:
  """Max-margin ranking loss of HowTo100M (Miech et al. 2019).

  The mean over all i and j of max(0, m + S_ij - S_ii) + max(0, m + S_ij -
  S_jj), S_ij = x_i . y_j.

  Args:
    rows: [n, N] scores of the n local x against all y.
    columns: [n, N] scores of the n local y against all x.
    partners: int [n], index in N of each local pair.
    margin: m, in units of score. The thesis does not state its own.
    diagonal: count i = j too, as HowTo100M's code does. This adds 2 m / N and
      divides by N instead of N - 1.
    intra_video: share of the weights that the pairs of the same video have
      together (`hard_negative_rate` of HowTo100M's code, 0.5 there); 0: all
      pairs weigh the same. It needs several videos, of several clips each.
    clips_per_video: how many pairs in a row are of one video.

  Returns:
    Scalar float32 (float64 for float64 scores).
  """
  weights = _weights(
    partners, rows.shape[1], diagonal, intra_video, clips_per_video
  )
  excess = sum(
    _excess(common.widen(scores), partners, margin)
    for scores in (rows, columns)
  )
  return (weights * excess).sum(1).mean()


def sampled_margin(
  rows: Float[Array, 'n N'],
  columns: Float[Array, 'n N'],
  partners: Int[Array, ' n'],
  *,
  key: Array,
  margin: float = 1.0,
  impostors: str = 'sampled',
  other_videos: bool = False,
  clips_per_video: int = 1,
) -> Float[jax.Array, '']:
  """Sampled margin ranking loss of DAVEnet (Harwath et al. 2018).

  The mean over all i of max(0, m + S_ij - S_ii) + max(0, m + S_ki - S_ii), with
  one impostor j for each x and one impostor k for each y. Boggust et al. 2019
  apply DAVEnet's model of images to videos.

  Args:
    rows: [n, N] scores of the n local x against all y.
    columns: [n, N] scores of the n local y against all x.
    partners: int [n], index in N of each local pair.
    key: from which the impostors are drawn.
    margin: m, in units of score; DAVEnet's code has 1.
    impostors: 'sampled': drawn, as in DAVEnet; 'semi_hard': the one with the
      largest score below the pair's own, and a drawn one if there is none;
      'both': the sum of the two losses, as in ResDAVEnet (Harwath et al. 2020).
    other_videos: draw impostors of other videos only.
    clips_per_video: how many pairs in a row are of one video.

  Returns:
    Scalar float32 (float64 for float64 scores).
  """
  group = clips_per_video if other_videos else 1
  loss = jnp.zeros(())
  for way, scores in enumerate((rows, columns)):
    wide = common.widen(scores)
    own = jnp.take_along_axis(wide, partners[:, None], axis=1)[:, 0]
    sampled = drawn.draw(
      jax.random.fold_in(key, way), partners, wide.shape[1], group
    )
    chosen = [] if impostors == 'semi_hard' else [sampled]
    if impostors != 'sampled':
      chosen.append(_semi_hard(wide, own, sampled))
    for places in chosen:
      other = jnp.take_along_axis(wide, places[:, None], axis=1)[:, 0]
      loss += jax.nn.relu(margin + other - own).mean()
  return loss


def _semi_hard(
  scores: Float[jax.Array, 'n N'],
  own: Float[jax.Array, ' n'],
  otherwise: Int[jax.Array, ' n'],
) -> Int[jax.Array, ' n']:
  """Place of the largest score below each row's own; `otherwise` if none is."""
  below = jnp.where(scores < own[:, None], scores, -jnp.inf)
  return jnp.where(jnp.isinf(below.max(1)), otherwise, below.argmax(1))


def _excess(
  scores: Float[jax.Array, 'n N'], partners: Int[Array, ' n'], margin: float
) -> Float[jax.Array, 'n N']:
  """Amount by which each score exceeds that of its pair less the margin."""
  own = jnp.take_along_axis(scores, partners[:, None], axis=1)  # [n, 1]
  return jax.nn.relu(margin + scores - own)


def _weights(
  partners: Int[Array, ' n'],
  count: int,
  diagonal: bool,
  intra_video: float,
  clips_per_video: int,
) -> Float[jax.Array, 'n N']:
  """Weights of a row's scores; their sum is 1."""
  is_partner = common.is_partner(partners, count)
  counted = jnp.ones_like(is_partner) if diagonal else ~is_partner
  missing = 0 if diagonal else 1
  inside, outside = clips_per_video - missing, count - clips_per_video
  if not intra_video or clips_per_video == 1 or not outside:
    return counted / max(count - missing, 1)
  video = jnp.arange(count) // clips_per_video
  is_same = video == (partners // clips_per_video)[:, None]
  weights = jnp.where(
    is_same, intra_video / inside, (1 - intra_video) / outside
  )
  return counted * weights
