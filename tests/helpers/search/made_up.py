"""Made-up files of an index, and a naive search over them."""

import numpy as np

from avl_jax.search.store.index import Description, IndexedFile

DIM = 24


def description(dtype: str = 'float32', names=('video', 'audio')):
  return Description(
    model='m1',
    branch='b1',
    networks={'visual_2d': 'resnet152'},
    window=10.0,
    step=5.0,
    names=tuple(names),
    dim=DIM,
    dtype=dtype,
  )


def file(path: str, content: str | None = None) -> IndexedFile:
  return IndexedFile(path, content or f'sha of {path}', 5, 7, 30.0, ('short',))


def windows(n: int) -> np.ndarray:
  starts = 5.0 * np.arange(n)
  return np.stack([starts, starts + 10.0], axis=1)


def vectors(n: int, seed: int) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(seed)
  return {
    name: rng.standard_normal((n, DIM)).astype(np.float32)
    for name in ('video', 'audio')
  }


def everywhere(n: int) -> dict[str, np.ndarray]:
  return {'video': np.ones(n, bool), 'audio': np.ones(n, bool)}


def add(index, path: str, n: int, seed: int, **present) -> dict:
  """Adds a file with n windows; returns its vectors."""
  made = vectors(n, seed)
  index.add(file(path), windows(n), made, {**everywhere(n), **present})
  return made


def naive(
  queries: np.ndarray, rows: np.ndarray, vectors: np.ndarray, k: int
) -> tuple[list, list]:
  """Scores and rows of the k best, by sorting pairs in Python."""
  scores, found = [], []
  for query in queries:
    pairs = sorted(
      (-np.float32(np.dot(query.astype(float), v.astype(float))), row)
      for row, v in zip(rows.tolist(), vectors, strict=True)
    )[:k]
    pairs += [(np.inf, -1)] * (k - len(pairs))
    scores.append([-score for score, _ in pairs])
    found.append([row for _, row in pairs])
  return scores, found
