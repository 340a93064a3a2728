"""Scores of queries with a block of vectors, float32 or float16."""

import numpy as np

from avl_jax.features import float16

ROWS = 64  # Of half precision, widened at a time: they stay in the cache.


def product(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
  """float32 [q, n] of queries float32 [q, D] and vectors [n, D]."""
  if vectors.dtype == np.float32:
    return queries @ vectors.T
  scores = np.empty((len(queries), len(vectors)), np.float32)
  wide = np.empty((ROWS, vectors.shape[1]), np.float32)
  for start in range(0, len(vectors), ROWS):
    part = vectors[start : start + ROWS]
    float16.to_float32(part, wide[: len(part)])
    np.matmul(
      queries, wide[: len(part)].T, out=scores[:, start : start + len(part)]
    )
  return scores
