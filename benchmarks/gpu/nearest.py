"""Ranking in both directions and exact search, on the device and from disk."""

import functools
import pathlib
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from avl_jax.retrieval import ranking
from avl_jax.search.store.index import Index
from benchmarks import evaluate, search
from benchmarks.gpu.arithmetic import compare
from benchmarks.gpu.parts import Sizes

QUESTIONS = (1, 64)
BEST = 10
CHECKED = 20  # queries whose ranks NumPy computes too, in float64
ROUNDS = 3


def rank(sizes: Sizes) -> dict:
  """Both directions by `ranking`; the first call compiles."""
  x, y = evaluate.embeddings(sizes.pairs, sizes.width)
  ranking.rank_both_ways(x[:2048], y[:2048])
  start = time.perf_counter()
  found, _ = ranking.rank_both_ways(x, y)
  seconds = time.perf_counter() - start
  wrong, wide = 0, y.astype(np.float64)
  for i in range(CHECKED):
    scores = wide @ x[i].astype(np.float64)
    margin = 1e-5 * np.abs(scores).max()
    least, most = (
      np.count_nonzero(scores > scores[i] + m) for m in (margin, -margin)
    )
    wrong += not least <= found.better[i] < most
  return {
    'seconds each': round(seconds, 3),
    'result': f'{wrong} of {CHECKED} ranks WRONG' if wrong else 'right',
  }


@functools.partial(jax.jit, static_argnums=2)
def _top(questions: jax.Array, vectors: jax.Array, k: int) -> jax.Array:
  scores = jnp.matmul(questions, vectors.T, precision='highest')
  return jax.lax.top_k(scores, k)[1]


def on_device(sizes: Sizes) -> list[dict]:
  """The best ten of float32 vectors in the device's memory, by XLA."""
  key = jax.random.key(0)
  shape = sizes.vectors, sizes.width

  @jax.jit
  def unit_vectors(key: jax.Array) -> jax.Array:
    vectors = jax.random.normal(key, shape)
    return vectors * jax.lax.rsqrt((vectors**2).sum(1, keepdims=True))

  vectors = unit_vectors(key)
  rows = []
  for count in QUESTIONS:
    places = np.arange(count) * (sizes.vectors // count)
    asked = vectors[places]  # each is most like itself
    best = np.asarray(_top(asked, vectors, BEST))
    seconds = _least(lambda asked=asked: _top(asked, vectors, BEST))
    rows.append(
      {
        'questions': count,
        'seconds each': round(seconds, 4),
        'GB/s': round(vectors.nbytes / seconds / 1e9, 1),
        'result': 'right' if (best[:, 0] == places).all() else 'WRONG',
      }
    )
  return rows


def index(sizes: Sizes) -> list[dict]:
  """The program's own index, on the CPU: half precision, from disk."""
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'index'
    search.build(path, sizes.indexed, sizes.width, 'float16')
    opened = Index.open(path)
    size = 2 * sizes.indexed * sizes.width
    rng = np.random.default_rng(1000)
    questions = rng.standard_normal((max(QUESTIONS), sizes.width), np.float32)
    expected = _scores(sizes, questions)
    best = np.sort(expected)[:, : -BEST - 1 : -1]
    rows = []
    for count in QUESTIONS:
      asked = questions[:count]
      found = opened.search('video', asked, BEST)[1]
      seconds = _least(
        lambda asked=asked: opened.search('video', asked, BEST)[1]
      )
      rows.append(
        {
          'questions': count,
          'seconds each': round(seconds, 4),
          'GB/s': round(size / seconds / 1e9, 1),
          # By their scores: of two that are equal, either may be first.
          **compare(
            np.take_along_axis(expected[:count], found, 1), best[:count], 1e-5
          ),
        }
      )
    return rows


def _scores(sizes: Sizes, questions: np.ndarray) -> np.ndarray:
  """Scores of all vectors of the index, by NumPy, in float32."""
  files = range(sizes.indexed // search.WINDOWS)
  vectors = (search.made_up(i, sizes.width, 'float16') for i in files)
  return np.concatenate(
    [questions @ each.astype(np.float32).T for each in vectors], 1
  )


def _least(function: Callable) -> float:
  """Seconds of the fastest of some calls, after one that does not count."""
  jax.block_until_ready(function())
  times = []
  for _ in range(ROUNDS):
    start = time.perf_counter()
    jax.block_until_ready(function())
    times.append(time.perf_counter() - start)
  return min(times)


def cases(sizes: Sizes) -> dict[str, Callable]:
  """Ranking, search on the device, and the index, which takes time to write."""
  return {
    f'ranking {sizes.pairs:,} pairs x {sizes.width}, both ways': (
      functools.partial(rank, sizes)
    ),
    f'search on the device, {sizes.vectors:,} x {sizes.width}, float32': (
      functools.partial(on_device, sizes)
    ),
    f'index on the CPU, {sizes.indexed:,} x {sizes.width}, float16': (
      functools.partial(index, sizes)
    ),
  }
