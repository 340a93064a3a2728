"""A tile of a matrix of scores, ranked along its rows and its columns."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

GROUP = 16  # Rows of a tile are a multiple of it.


class Part(NamedTuple):
  """A `ranking.Ranking` among some of the items; counts are int32."""

  better: np.ndarray
  equal: np.ndarray
  scores: np.ndarray  # float32 [n, k], of `best`
  best: np.ndarray


class Tile(NamedTuple):
  """What a tile of scores, n rows x against n rows y, says."""

  diagonal: np.ndarray  # float32 [n]
  is_nan: np.ndarray  # bool
  of_x: Part  # the queries are rows of x
  of_y: Part


@functools.partial(jax.jit, static_argnames='top')
def compute(
  x: jax.Array,
  y: jax.Array,
  own_x: jax.Array,
  own_y: jax.Array,
  starts: jax.Array,
  count: jax.Array,
  top: int,
) -> Tile:
  """Computes a tile.

  Args:
    x: float32 [n, D].
    y: float32 [n, D].
    own_x: float32 [n], scores of the correct matches of these x; unused if the
      tile is on the diagonal.
    own_y: likewise, of these y.
    starts: int32 [2], indices of the first x and y.
    count: N. Items from there on are padding, which score -inf.
    top: k of the parts; n if that is smaller.
  """
  scores = jnp.matmul(
    x,
    y.T,
    precision=jax.lax.Precision.HIGHEST,
    preferred_element_type=jnp.float32,
  )  # [n, D] @ [D, n] -> [n, n]
  is_real = starts[:, None] + jnp.arange(len(x)) < count  # [2, n]
  scores = jnp.where(is_real[0, :, None] & is_real[1], scores, -jnp.inf)
  diagonal = jnp.diagonal(scores)
  on_diagonal = starts[0] == starts[1]

  def part(scores: jax.Array, own: jax.Array, start: jax.Array) -> Part:
    own = jnp.where(on_diagonal, diagonal, own)[:, None]
    best_scores, best = _best(scores, min(top, len(x)))
    return Part(
      jnp.sum(scores > own, axis=1),
      jnp.sum(scores == own, axis=1),
      best_scores,
      best + start,
    )

  of_x = part(scores, own_x, starts[1])
  of_y = part(scores.T, own_y, starts[0])
  return Tile(diagonal, jnp.isnan(scores).any(), of_x, of_y)


def _best(scores: jax.Array, top: int) -> tuple[jax.Array, jax.Array]:
  """Does what `lax.top_k` does, in less time on CPUs.

  The best k items are in the k groups of neighbours with the largest maxima.

  Args:
    scores: [n, m], m divisible by `GROUP`.
    top: k, at most m.
  """
  groups = scores.reshape(len(scores), -1, GROUP)
  _, chosen = jax.lax.top_k(groups.max(2), min(top, groups.shape[1]))
  items = jnp.sort(chosen)[..., None] * GROUP + jnp.arange(GROUP)
  items = items.reshape(len(scores), -1)  # ascending, so ties keep their order
  found, places = jax.lax.top_k(jnp.take_along_axis(scores, items, axis=1), top)
  return found, jnp.take_along_axis(items, places, axis=1)
