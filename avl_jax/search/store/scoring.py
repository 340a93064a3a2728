"""The exact best rows for queries, by blocked products.

A fast product in float32 finds the rows that can be among the best k. Their
scores are then computed in float64, in one order of summation, and rounded to
float32. So the answer depends on the vectors alone: not on the kernel, the
blocks, the threads or the other queries, and equal vectors have equal scores.
"""

from collections.abc import Callable, Iterable

import numpy as np

from avl_jax.search.store import products

QUERIES = 256  # Scored at a time.
SAMPLE = 16  # Times k rows give the first limit.
RESCORED = 512  # Rows that are widened to float64 at a time.


class DamagedRowError(Exception):
  """A vector that is not finite, or longer than any that was written.

  Attributes:
    row: of the vector.
  """

  def __init__(self, row: int):
    super().__init__(row)
    self.row = row


# First row, vectors [n, D], and which of them count [n].
Block = tuple[int, np.ndarray, np.ndarray]


def best(
  queries: np.ndarray,
  k: int,
  blocks: Callable[[], Iterable[Block]],
  fetch: Callable[[np.ndarray], np.ndarray],
  dtype: np.dtype,
  largest: float,
) -> tuple[np.ndarray, np.ndarray]:
  """The k rows with the largest scores: dot products with the queries.

  Args:
    queries: float32 [q, D].
    k: number of rows wanted.
    blocks: makes an iterator over all vectors, rows ascending.
    fetch: rows int64 [m] -> their vectors [m, D], of any floating-point type.
    dtype: of the vectors, float32 or float16.
    largest: no vector is longer than that.

  Returns:
    scores: float32 [q, k], largest first; -inf where there are fewer rows.
    rows: int64 [q, k]; the lower row first where scores are equal; -1 where
      there are fewer.

  Raises:
    DamagedRowError: a score is larger than the lengths allow, or no number.
  """
  scores = np.full((len(queries), k), -np.inf, np.float32)
  rows = np.full((len(queries), k), -1, np.int64)
  if not k:
    return scores, rows
  for start in range(0, len(queries), QUERIES):
    chosen = queries[start : start + QUERIES]
    found = _candidates(chosen, k, blocks(), dtype, largest)
    for i, candidates in enumerate(found, start):
      exact = rescore(queries[i], candidates, fetch)
      if not np.isfinite(exact).all():
        raise DamagedRowError(int(candidates[np.isfinite(exact).argmin()]))
      order = np.lexsort((candidates, -exact))[:k]
      scores[i, : len(order)] = exact[order]
      rows[i, : len(order)] = candidates[order]
  return scores, rows


def rescore(
  query: np.ndarray,
  rows: np.ndarray,
  fetch: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
  """Scores float32 [m] of one query [D] with rows [m], through float64."""
  scores = np.empty(len(rows), np.float32)
  query = query.astype(np.float64)
  for start in range(0, len(rows), RESCORED):
    chosen = slice(start, start + RESCORED)
    # Products of two float32 are exact; each row is summed in the same order.
    terms = fetch(rows[chosen]).astype(np.float64)
    terms *= query
    scores[chosen] = terms.sum(1)
  return scores


def _bounds(
  queries: np.ndarray, off: np.ndarray, largest: float
) -> tuple[np.ndarray, np.ndarray]:
  """float32 [q]: by how much two scores may be off together; the highest one.

  A sum of D products in float32 is off by less than c sqrt(D) u |q| |v| in
  practice (Higham and Mary, 2019: A New Approach to Probabilistic Rounding
  Error Analysis; the probability to miss falls as exp(-c^2 / 2)). c is 8 here.

  Args:
    queries: float32 [q, D].
    off: how far the queries are from those that the product uses [q].
    largest: no vector is longer than that.
  """
  lengths = np.sqrt(np.square(queries, dtype=np.float64).sum(1))
  unit = np.finfo(np.float32).eps / 2
  bound = (8 * queries.shape[1] ** 0.5 + 4) * unit * lengths + off
  margins, most = 2 * bound * largest, np.finfo(np.float32).max
  # Twice what can be, so that no rounding matters.
  highest = 2 * (lengths * largest + margins)
  return (
    np.minimum(margins, most).astype(np.float32),
    np.minimum(highest, most).astype(np.float32),
  )


def _candidates(
  queries: np.ndarray,
  k: int,
  blocks: Iterable[Block],
  dtype: np.dtype,
  largest: float,
) -> list[np.ndarray]:
  """For each query the rows, ascending, that can be among the best k."""
  lowest = np.finfo(np.float32).min
  limits = np.full(len(queries), lowest)
  scores = [np.empty(0, np.float32)] * len(queries)
  rows = [np.empty(0, np.int64)] * len(queries)
  score, off = products.scorer(queries, dtype)
  margins, highest = _bounds(queries, off, largest)
  for first, vectors, counts in blocks:
    product = score(vectors)  # [n, q]
    product[~counts] = -np.inf  # Below any limit.
    if not (product.max(0) <= highest).all():
      fits = (product <= highest).all(1)
      raise DamagedRowError(first + int(fits.argmin()))
    first_rows = product[: SAMPLE * k]
    if len(first_rows) >= k and (limits == lowest).any():
      least = np.partition(first_rows, -k, axis=0)[-k]
      limits = np.maximum(limits, least - margins)
    hits = product >= limits
    for i in np.flatnonzero(hits.any(0)):
      hit = np.flatnonzero(hits[:, i])
      scores[i] = np.concatenate([scores[i], product[hit, i]])
      rows[i] = np.concatenate([rows[i], hit + first])
      if len(scores[i]) > k:
        least = np.partition(scores[i], -k)[-k]
        limits[i] = max(limits[i], least - margins[i])
        kept = scores[i] >= limits[i]
        scores[i], rows[i] = scores[i][kept], rows[i][kept]
  return rows
