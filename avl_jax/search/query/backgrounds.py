"""The background questions of a run that queries an index; see `confidence`.

For sound they are the run's validation recordings, which the first search
embeds and keeps in its workdir, else what the index itself holds.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from avl_jax.errors import UserError
from avl_jax.extraction import feature_cache
from avl_jax.search.query import confidence
from avl_jax.search.query.confidence import Background
from avl_jax.search.store.index import BACKGROUNDS, Index

FILE = 'background.npz'  # in the workdir of a run: its validation recordings


class Backgrounds:
  """Background questions by branch, and what they score by chance."""

  def __init__(
    self,
    index: Index,
    model: Callable[[], str],
    recordings: Callable[[], np.ndarray | None],
  ):
    """Takes what they are made of; makes none yet.

    Args:
      index: that is asked. What is known of it is forgotten by `forget`.
      model: returns the fingerprint of the run's variables.
      recordings: returns the vectors of the run's validation recordings,
        float32 [B, D], or None.
    """
    self._index, self._model, self._recordings = index, model, recordings
    self.forget()

  def forget(self) -> None:
    """Forgets what depends on the content of the index."""
    self._found: dict[str, Background | None] = {}
    self._by_chance: dict[tuple[str, str], np.ndarray] = {}

  def of(self, branch: str) -> Background | None:
    """Background questions of a branch; None: fewer than `LEAST` are known."""
    if branch not in self._found:
      found = self._find(branch)
      enough = found and len(found.vectors) >= confidence.LEAST
      self._found[branch] = found if enough else None
    return self._found[branch]

  def chances(
    self, branch: str, name: str, scores: np.ndarray
  ) -> list[float | None]:
    """Share of the questions that score as high on their second-best window.

    Args:
      branch: of the questions.
      name: of the vectors that answer.
      scores: float32 [n], of a question.
    """
    background = self.of(branch)
    if not background:
      return [None] * len(scores)
    if (branch, name) not in self._by_chance:
      self._by_chance[branch, name] = self._of_index(background, branch, name)
    others = self._by_chance[branch, name]
    return [float((others >= score).mean()) for score in scores]

  def _of_index(
    self, background: Background, branch: str, name: str
  ) -> np.ndarray:
    """`Background.by_chance`, which is kept until the index changes."""
    folder = self._index.folder / BACKGROUNDS
    path = feature_cache.file_of(folder, [self._model(), branch, name])
    version = _version(self._index, background)
    kept = feature_cache.read(path, {'version', 'scores'})
    if kept and str(kept['version']) == version:
      return kept['scores']
    scores = background.by_chance(self._index, name)
    arrays = {'version': np.array(version), 'scores': scores}
    with contextlib.suppress(UserError):  # Whoever asks may be no writer.
      feature_cache.write(path, arrays)
    return scores

  def _find(self, branch: str) -> Background | None:
    names = self._index.description.names
    if branch == 'audio':
      recordings = self._recordings()
      if recordings is not None and len(recordings) >= confidence.LEAST:
        return confidence.of_recordings(recordings)
      if self._model() != self._index.description.model:
        return None  # The index has the sound of another audio branch.
    if branch not in ('audio', 'video') or branch not in names:
      return None
    return confidence.of_index(self._index, branch)


def _version(index: Index, background: Background) -> str:
  """Digest of the questions, and of what the vectors of an index are of."""
  digest = hashlib.sha256(background.vectors.tobytes()).hexdigest()
  facts: list = [digest, dataclasses.astuple(index.description)]
  facts += [(file.path, file.content) for file in index.files()]
  return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


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


def write(workdir: str | os.PathLike, model: str, vectors: np.ndarray) -> None:
  """Keeps the vectors of a run's validation recordings, see `read`.

  Raises:
    UserError: the file cannot be written.
  """
  arrays: Mapping[str, Any] = {'model': np.array(model), 'vectors': vectors}
  feature_cache.write(pathlib.Path(workdir) / FILE, arrays)
