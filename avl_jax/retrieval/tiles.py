"""A tile of a matrix of scores, ranked along its rows and its columns."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

GROUP = 16  # Rows of a tile are a multiple of it.
Array = Any  # of JAX in the program, of NumPy on the host


class Part(NamedTuple):
  """A `ranking.Ranking` among some of the items; counts are int32."""

  better: Array
  equal: Array
  scores: Array  # float32 [n, k], of `best`
  best: Array


class Tile(NamedTuple):
  """What a tile of scores, n rows x against n rows y, says."""

  diagonal: Array  # float32 [n]
  is_nan: Array  # bool
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

  def part(gallery: int, own: jax.Array) -> Part:
    """The ranking of the items along axis `gallery`."""
    own = jnp.where(on_diagonal, diagonal, own)
    own = jnp.expand_dims(own, gallery)
    best_scores, best = _best(scores, gallery, min(top, len(x)))
    return Part(
      jnp.sum(scores > own, axis=gallery),
      jnp.sum(scores == own, axis=gallery),
      best_scores,
      best + starts[gallery],
    )

  return Tile(diagonal, jnp.isnan(scores).any(), part(1, own_x), part(0, own_y))


def _best(
  scores: jax.Array, gallery: int, top: int
) -> tuple[jax.Array, jax.Array]:
  """Finds the best items of each query: `lax.top_k`, but faster on CPUs.

  The best k items are in the k groups of neighbours with the largest maxima.
  Ties keep the order of the gallery, in both steps.

  Args:
    scores: [n, n], n divisible by `GROUP`.
    gallery: axis of the items; the other one is that of the queries.
    top: k, at most n.

  Returns:
    Scores [n, k], best first, and int32 [n, k] their places.
  """
  n = len(scores)
  if gallery == 1:
    maxima = scores.reshape(n, -1, GROUP).max(2)
  else:
    maxima = scores.reshape(-1, GROUP, n).max(1).T  # no large transposition
  _, groups = jax.lax.top_k(maxima, min(top, n // GROUP))
  items = jnp.sort(groups)[..., None] * GROUP + jnp.arange(GROUP)
  items = items.reshape(n, -1)
  queries = jnp.arange(n)[:, None]
  found = scores[queries, items] if gallery == 1 else scores[items, queries]
  best_scores, places = jax.lax.top_k(found, top)
  return best_scores, jnp.take_along_axis(items, places, axis=1)
