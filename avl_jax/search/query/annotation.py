"""Adds to each answer its confidence, its best second and its file's state."""

import pathlib
from typing import Protocol

import numpy as np

from avl_jax.search.query import best_seconds
from avl_jax.search.query.answers import Answer, Answers
from avl_jax.search.query.backgrounds import Backgrounds
from avl_jax.search.query.non_overlapping import Found
from avl_jax.search.query.questions import Question
from avl_jax.search.store.index import Index, Window
from avl_jax.trained_model import TrainedModel

_CURVES = 3  # answers whose seconds are scored


class Asked(Protocol):
  """An index with the run that queries it, see `searcher.Searcher`."""

  index: Index
  media_dir: pathlib.Path | None

  @property
  def trained(self) -> TrainedModel:
    """The model."""
    ...

  @property
  def model(self) -> str:
    """Fingerprint of the model's variables."""
    ...


class Annotator:
  """Makes answers of the windows that were found."""

  def __init__(self, asked: Asked, backgrounds: Backgrounds):
    """Takes the index and run, and their background questions."""
    self._asked, self._backgrounds = asked, backgrounds

  def __call__(
    self, question: Question, name: str, found: Found, threshold: float
  ) -> Answers:
    """Makes the answers, with the confidence and the best second of each.

    Args:
      question: that was asked.
      name: of the vectors that were compared.
      found: the windows.
      threshold: see `Searcher.answer`.
    """
    index = self._asked.index
    background = self._backgrounds.of(question.branch)
    scores = np.array([score for _, _, score in found], np.float32)
    shares: list[float | None] = [None] * len(found)
    if background and found:
      vectors = index.vectors(name, [row for row, _, _ in found])
      paths = [window.path for _, window, _ in found]
      shares = background.shares(scores, vectors, paths)
    chances = self._backgrounds.chances(question.branch, name, scores)
    items = [
      Answer(
        path=window.path,
        start=window.start,
        end=window.end,
        score=score,
        share=shares[i],
        chance=(chance := chances[i]),
        fits=chance is None or chance <= threshold,
        is_there=self._is_there(window.path),
        curve=self._curve(window, name, question) if i < _CURVES else None,
      )
      for i, (_, window, score) in enumerate(found)
    ]
    return Answers(
      question=question.name,
      branch=question.branch,
      among=name,
      items=items,
      threshold=threshold,
      background=len(background.vectors) if background else 0,
      source=background.source if background else '',
      media_dir=self._asked.media_dir,
    )

  def _is_there(self, path: str) -> bool | None:
    folder = self._asked.media_dir
    return (folder / path).is_file() if folder else None

  def _curve(
    self, window: Window, name: str, question: Question
  ) -> best_seconds.Curve | None:
    if not question.branch or window.end <= window.start:
      return None
    asked = self._asked
    if name != 'video' and asked.model != asked.index.description.model:
      return None  # The run hears otherwise than the index.
    return best_seconds.of_window(
      asked.index, asked.trained, window, name, question.vector
    )
