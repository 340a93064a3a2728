"""Finds the best windows for a question, of which no two overlap."""

from collections.abc import Collection

import numpy as np

from avl_jax.search.store.index import Index, Window

Found = list[tuple[int, Window, float]]  # row, window, score


def distinct(
  index: Index,
  name: str,
  vector: np.ndarray,
  count: int,
  among: Collection[str] | None = None,
) -> Found:
  """The best windows that do not overlap a better one of their file.

  Args:
    index: to be searched.
    name: of its vectors.
    vector: float32 [D], of the question.
    count: number of windows wanted.
    among: paths of the files to search; None: all.

  Returns:
    At most `count` rows, windows and scores, the best first.

  Raises:
    UserError: as `Index.search`.
  """
  wanted = 4 * count
  while True:
    scores, rows = index.search(name, vector[None], wanted, among)
    found: Found = []
    for score, row in zip(scores[0].tolist(), rows[0].tolist(), strict=True):
      if row >= 0:
        window = index.window(row)
        if not any(overlap(window, better) for _, better, _ in found):
          found.append((row, window, score))
    if len(found) >= count or -1 in rows:
      return found[:count]
    wanted *= 4


def overlap(window: Window, other: Window) -> bool:
  """Whether two windows of a file share time; a picture is one moment."""
  return window.path == other.path and (
    window == other or (window.start < other.end and other.start < window.end)
  )
