"""Dot products of queries with blocks of vectors, float32 or float16.

The kernels were chosen by measurement (benchmarks/README.md#search): NumPy's
BLAS for float32, and for many queries; for float16 and few queries numkong, an
extra, whose AVX-512 code widens in registers. Without it, numbers are widened
by three integer operations of NumPy, which take a third of the time of a table
of all float16 numbers and a tenth of `astype`.
"""

import concurrent.futures
import os
from collections.abc import Callable
from typing import Any

import numpy as np

try:
  import numkong as fast  # pyrefly: ignore[missing-import]: an extra
except ImportError:
  fast: Any = None

FEW = 16  # Queries up to which numkong is faster than widening and BLAS.
PART = 2048  # Rows that a thread scores by numkong before it takes others.
# Rows of a product: BLAS' threads wait for each other at the end of each.
WIDENED = 2048
CACHED = 64  # Rows that are widened at a time.
# Sign, and exponent and mantissa of float16 moved to where float32 has them.
_MASK = np.array(0x8FFFE000, np.uint32).view(np.int32)
_BIAS = 112  # Exponents of float32 minus those of float16.


def scorer(
  queries: np.ndarray, dtype: np.dtype
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
  """Prepares queries for blocks of vectors.

  Args:
    queries: float32 [q, D].
    dtype: of the vectors, float32 or float16.

  Returns:
    A function of vectors [n, D] that returns scores float32 [n, q], and how far
    the queries that it uses are from these: lengths float64 [q].
  """
  if dtype == np.float32:
    # [n, D] x [D, q] -> [n, q]
    return lambda vectors: vectors @ queries.T, np.zeros(len(queries))
  if fast is not None and len(queries) <= FEW:
    return _by_numkong(queries)
  return _by_widening(queries)


def _by_numkong(queries: np.ndarray) -> tuple[Callable, np.ndarray]:
  """Each query is a sum of two float16 ones, with 22 bits together."""
  scale = np.abs(queries).max(1, keepdims=True)
  scale = np.where(scale > 0, scale, 1).astype(np.float32)
  unit = queries / scale
  high = unit.astype(np.float16)
  low = ((unit - high.astype(np.float32)) * np.float32(2048)).astype(np.float16)
  packed = fast.dots_pack(np.concatenate([high, low]))
  used = high.astype(np.float64) + low.astype(np.float64) / 2048
  off = np.linalg.norm(queries - used * scale, axis=1)
  pool = concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0)))

  def part(vectors: np.ndarray) -> np.ndarray:
    both = np.asarray(fast.dots_packed(vectors, packed))
    first, second = np.split(both, 2, axis=1)
    with np.errstate(invalid='ignore'):  # A damaged vector; see `scoring.best`.
      return (first + second / np.float32(2048)) * scale.T

  def score(vectors: np.ndarray) -> np.ndarray:
    starts = range(0, len(vectors), PART)
    parts = pool.map(lambda start: part(vectors[start : start + PART]), starts)
    return np.concatenate(list(parts))

  return score, off


def _by_widening(queries: np.ndarray) -> tuple[Callable, np.ndarray]:
  """Vectors become float32 numbers 2**-112 times as large."""
  scale = np.abs(queries).max(1, keepdims=True).astype(np.float64)
  scale = np.where(scale > 0, scale, 1)
  large = (queries / scale * 2.0**_BIAS).astype(np.float32)
  off = np.linalg.norm(queries - large * (scale / 2.0**_BIAS), axis=1)
  if not np.float32(2.0**-130) * np.float32(2.0**_BIAS):
    # This thread takes numbers below 2**-126, so halves below 2**-14, as zero.
    off += 2.0**-14 * np.abs(queries).sum(1, dtype=np.float64)
  wide = np.empty((WIDENED, queries.shape[1]), np.float32)

  def score(vectors: np.ndarray) -> np.ndarray:
    scores = np.empty((len(vectors), len(queries)), np.float32)
    for start in range(0, len(vectors), WIDENED):
      part = vectors[start : start + WIDENED]
      for row in range(0, len(part), CACHED):
        halves = part[row : row + CACHED]
        bits = wide[row : row + len(halves)].view(np.int32)
        np.copyto(bits, halves.view(np.int16))  # The sign in all upper bits.
        np.left_shift(bits, 13, out=bits)
        np.bitwise_and(bits, _MASK, out=bits)
      # [rows, D] x [D, q] -> [rows, q]
      scores[start : start + len(part)] = wide[: len(part)] @ large.T
    return scores * scale.T.astype(np.float32)

  return score, off
