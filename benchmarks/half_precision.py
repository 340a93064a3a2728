"""Cost of kernels that score vectors in half precision with one question.

  OPENBLAS_NUM_THREADS=1 python -m benchmarks.half_precision

Prints the processor time for 8,192 made-up vectors of 4096, the least of some
rounds in which the kernels take turns, bytes of the vectors a second, and the
largest error, as a share of the largest score. `pip install -e '.[search]'`.
"""

import argparse
import time
from collections.abc import Callable

import faiss
import jax
import ml_dtypes
import numpy as np

from avl_jax.errors import UserError
from avl_jax.search.store import products

CHUNK = 1024  # Vectors that are widened at a time.
Kernel = tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]


def _of_products(question: np.ndarray, fast: object) -> Callable:
  found, products.fast = products.fast, fast
  score = products.scorer(question[None], np.dtype(np.float16))[0]
  products.fast = found
  return lambda vectors: score(vectors)[:, 0]


def _widened(question: np.ndarray, widen: Callable) -> Callable:
  """Widens some vectors at a time, then multiplies by BLAS."""
  return lambda vectors: np.concatenate(
    [
      widen(vectors[start : start + CHUNK]) @ question
      for start in range(0, len(vectors), CHUNK)
    ]
  )


def _by_faiss(question: np.ndarray, vectors: np.ndarray) -> Callable:
  faiss.omp_set_num_threads(1)
  kind = faiss.ScalarQuantizer.QT_fp16
  index = faiss.IndexScalarQuantizer(
    len(question), kind, faiss.METRIC_INNER_PRODUCT
  )
  index.add(vectors.astype(np.float32))

  def score(_: np.ndarray) -> np.ndarray:
    best, rows = index.search(question[None], 10)
    found = np.full(index.ntotal, np.nan, np.float32)
    found[rows[0]] = best[0]
    return found

  return score


def kernels(vectors: np.ndarray, question: np.ndarray) -> dict[str, Kernel]:
  """Name -> the vectors that a kernel takes, and the kernel.

  Args:
    vectors: float16 [n, D].
    question: float32 [D].
  """
  table = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
  by_xla = jax.jit(lambda v: v.astype(np.float32) @ question)
  short = vectors.astype(ml_dtypes.bfloat16)
  wide = vectors.astype(np.float32)
  return {
    'numkong': (vectors, _of_products(question, products.fast)),
    "FAISS' fp16 quantizer": (vectors, _by_faiss(question, vectors)),
    'three integer operations, BLAS': (vectors, _of_products(question, None)),
    'a table of all numbers, BLAS': (
      vectors,
      _widened(question, lambda some: table[some.view(np.uint16)]),
    ),
    "NumPy's astype, BLAS": (
      vectors,
      _widened(question, lambda some: some.astype(np.float32)),
    ),
    'XLA': (vectors, lambda some: np.asarray(by_xla(some))),
    "bfloat16: ml_dtypes' astype, BLAS": (
      short,
      _widened(question, lambda some: some.astype(np.float32)),
    ),
    'float32: BLAS': (wide, lambda some: some @ question),
  }


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--count', type=int, default=8192)
  parser.add_argument('--width', type=int, default=4096)
  parser.add_argument('--rounds', type=int, default=9)
  options = parser.parse_args()
  rng = np.random.default_rng(1)
  shape = options.count, options.width
  vectors = rng.standard_normal(shape, np.float32) / options.width**0.5
  question = rng.standard_normal(options.width, np.float32)
  vectors = vectors.astype(np.float16)
  exact = vectors.astype(np.float64) @ question.astype(np.float64)
  if products.fast is None:
    raise UserError("numkong is missing. Run pip install -e '.[search]'.")
  found = kernels(vectors, question)
  spent: dict[str, list[float]] = {name: [] for name in found}
  errors = {}
  for _ in range(options.rounds + 1):
    for name, (stored, score) in found.items():
      began = time.process_time()
      scores = score(stored)
      spent[name].append(time.process_time() - began)
      errors[name] = np.nanmax(np.abs(scores - exact)) / np.abs(exact).max()
  print('| | ms | GB/s | error |\n| --- | --- | --- | --- |')
  for name, (stored, _) in found.items():
    least = min(spent[name][1:])  # The first round compiles.
    print(
      f'| {name} | {1e3 * least:.1f} | {stored.nbytes / least / 1e9:.1f} | '
      f'{errors[name]:.0e} |'
    )


if __name__ == '__main__':
  main()
