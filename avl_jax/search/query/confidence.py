"""Confidence of an answer: how rarely other questions score as high.

A window that fits everything a little has high scores for all questions, and a
large index has a high score for any question. So the score of an answer is
compared with those of background questions, recordings that ask for something
else, twice: on the same window, and on their own windows.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from avl_jax.search.query import non_overlapping
from avl_jax.search.store.index import Index

LEAST = 200  # background questions, without which nothing is said
MOST = 500
_OF_INDEX = "the index's own {}, against other files"


@dataclasses.dataclass(frozen=True, eq=False)
class Background:
  """Questions that ask for something else.

  Attributes:
    vectors: float32 [B, D].
    source: where they are from, for people.
    paths: str [B], the files of an index that they are from; '': none.
  """

  vectors: np.ndarray
  source: str
  paths: np.ndarray

  def shares(
    self, scores: np.ndarray, windows: np.ndarray, paths: Sequence[str]
  ) -> list[float | None]:
    """Share of the questions that score at least as high on each window.

    Args:
      scores: float32 [n], of the question.
      windows: float32 [n, D], vectors of the windows.
      paths: files of the windows. Questions from the same file do not count.

    Returns:
      For each window the share; None: there are fewer than `LEAST`.
    """
    found: list[float | None] = []
    others = self.vectors @ windows.T  # [B, D] @ [D, n]
    for i, path in enumerate(paths):
      counts = self.paths != path
      higher = others[counts, i] >= scores[i]
      found.append(float(higher.mean()) if counts.sum() >= LEAST else None)
    return found

  def by_chance(self, index: Index, name: str) -> np.ndarray:
    """The score of each question on its second-best window in an index.

    A background question may happen to ask for something that the index has.
    Then its best window is no chance, but the second one is.

    Args:
      index: see `of_index`.
      name: of the vectors that answer. Windows of a question's own file do not
        count, nor those that overlap its best one.

    Returns:
      float32 [B]; of the best window where there is no second one; -inf: there
      is none.
    """
    own = max((len(index.rows_of(p)) for p in {*self.paths} - {''}), default=0)
    like = index.description
    overlapping = 2 * math.ceil(like.window / like.step)
    scores, rows = index.search(name, self.vectors, own + overlapping + 2)
    found = np.full(len(rows), -np.inf, np.float32)
    for i, path in enumerate(self.paths):
      best = None
      for score, row in zip(scores[i], rows[i].tolist(), strict=True):
        window = index.window(row) if row >= 0 else None
        if window is None or window.path == path:
          continue
        if best is None:
          best, found[i] = window, score
        elif not non_overlapping.overlap(window, best):
          found[i] = score
          break
    return found


def of_recordings(vectors: np.ndarray) -> Background:
  """Background of a run's validation recordings, float32 [B, D]."""
  chosen = vectors[_spread(len(vectors))]
  nowhere = np.full(len(chosen), '', object)
  return Background(chosen, "the run's validation recordings", nowhere)


def of_index(index: Index, name: str) -> Background:
  """Background of what an index holds itself: its sound, or its pictures.

  Args:
    index: whose vectors are of the same model.
    name: of its vectors, 'audio' or 'video', the branch of the question.
  """
  kind = {'audio': 'sound', 'video': 'pictures'}[name]
  rows = index.rows_with(name)
  rows = rows[_spread(len(rows))]
  paths = np.array([index.window(int(row)).path for row in rows], object)
  return Background(index.vectors(name, rows), _OF_INDEX.format(kind), paths)


def _spread(count: int) -> np.ndarray:
  """At most `MOST` of `count` numbers from 0, evenly spread."""
  if count <= MOST:
    return np.arange(count)
  return np.arange(MOST) * count // MOST
