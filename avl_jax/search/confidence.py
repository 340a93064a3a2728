"""How sure an answer is: how rarely other questions score as high on it.

A window that fits everything a little has high scores for all questions. So the
score of an answer is compared with those of background questions on the same
window: recordings that ask for something else.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from avl_jax.extraction import feature_cache
from avl_jax.search.index import Index

LEAST = 200  # background questions, without which nothing is said
MOST = 2000
FILE = 'background.npz'  # in the workdir of a run: its validation recordings
_OF_INDEX = "the index's own {} in other files"


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
    self, scores: np.ndarray, windows: np.ndarray, paths: Iterable[str]
  ) -> list[float | None]:
    """Share of the questions that score at least as high on each window.

    Args:
      scores: float32 [n], of the question.
      windows: float32 [n, D], vectors of the windows.
      paths: files of the windows. Questions from the same file do not count.

    Returns:
      For each window the share, or None: there are fewer than `LEAST`.
    """
    found: list[float | None] = []
    others = self.vectors @ windows.T  # [B, D] @ [D, n]
    for i, path in enumerate(paths):
      counts = self.paths != path
      higher = others[counts, i] >= scores[i]
      found.append(float(higher.mean()) if counts.sum() >= LEAST else None)
    return found

  @property
  def count(self) -> int:
    """B."""
    return len(self.vectors)


def of_recordings(vectors: np.ndarray) -> Background:
  """Background of a run's validation recordings, float32 [B, D]."""
  chosen = vectors[_spread(len(vectors))]
  nowhere = np.full(len(chosen), '')
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


def read(workdir: str | os.PathLike, model: str) -> np.ndarray | None:
  """Vectors of a run's validation recordings, float32 [B, D], if it has any.

  Args:
    workdir: of the run.
    model: fingerprint of its variables; vectors of others are not used.
  """
  found = feature_cache.read(pathlib.Path(workdir) / FILE, {'model', 'vectors'})
  if not found or str(found['model']) != model:
    return None
  return found['vectors']


def write(
  workdir: str | os.PathLike, model: str, vectors: np.ndarray
) -> None:
  """Keeps the vectors of a run's validation recordings, see `read`.

  Raises:
    UserError: the file cannot be written.
  """
  arrays: Mapping[str, Any] = {'model': np.array(model), 'vectors': vectors}
  feature_cache.write(pathlib.Path(workdir) / FILE, arrays)


def _spread(count: int) -> np.ndarray:
  """At most `MOST` of `count` numbers from 0, evenly spread."""
  if count <= MOST:
    return np.arange(count)
  return np.arange(MOST) * count // MOST
