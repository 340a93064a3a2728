"""Asks an index with the model of a run.

Example:
  index = avl_jax.load_index('runs/index')
  answers = index.search('question.wav')
  print(answers.table())
  answers.items[0].path, answers.items[0].start
"""

import functools
import os
import pathlib
from collections.abc import Callable

import numpy as np

from avl_jax import trained_model
from avl_jax.extraction.decoding import Decoder
from avl_jax.extraction.decoding_limits import Limits
from avl_jax.extraction.model_inputs import Source
from avl_jax.search import (
  backgrounds,
  building,
  moments,
  nearest,
  origin,
  question_files,
  sharing,
)
from avl_jax.search.answers import Answer, Answers
from avl_jax.search.index import Index, Window
from avl_jax.search.questions import Question
from avl_jax.trained_model import TrainedModel

COUNT = 10  # answers
THRESHOLD = 0.1
_CURVES = 3  # answers whose seconds are scored


class Searcher:
  """An open index with the run that asks it; a context manager.

  Attributes:
    index: for reading. Each search sees what is committed at that moment.
    workdir: of the run.
    media_dir: folder of the files; None: it is not known.
  """

  def __init__(
    self,
    folder: str | os.PathLike,
    workdir: str | os.PathLike | None = None,
    *,
    media_dir: str | os.PathLike | None = None,
    limits: Limits | None = None,
    load: Callable[[pathlib.Path], TrainedModel] | None = None,
    recordings: Callable[['Searcher'], np.ndarray | None] | None = None,
  ):
    """Opens the index; the model is loaded when it is first needed.

    Args:
      folder: of the index.
      workdir: of the run that asks; None: of the run that made the index.
      media_dir: folder of the files; None: the one that was indexed.
      limits: of what a question's file may cost; None: the usual ones.
      load: workdir -> its model; None: `trained_model.load`.
      recordings: searcher -> vectors of the run's validation recordings,
        float32 [B, D], or None, called once; None: those that an earlier search
        has kept.

    Raises:
      UserError: there is no index, or it is damaged; or it does not say whose
        it is, and no workdir is given.
    """
    self.index = Index.open(pathlib.Path(folder).expanduser())
    workdir = workdir or origin.run_of(self.index.folder)
    self.workdir = pathlib.Path(workdir).expanduser()
    media_dir = media_dir or building.media_dir_of(self.index.folder)
    self.media_dir = pathlib.Path(media_dir).expanduser() if media_dir else None
    self._decoder, self._load = Decoder(limits), load or trained_model.load
    recordings = recordings or Searcher.kept_recordings
    self._backgrounds = backgrounds.Backgrounds(
      self.index, lambda: self.model, functools.cache(lambda: recordings(self))
    )

  def __enter__(self) -> 'Searcher':
    return self

  def __exit__(self, *_) -> None:
    """Ends the process that decodes questions; a question starts another."""
    self._decoder.close()

  @functools.cached_property
  def trained(self) -> TrainedModel:
    """The model.

    Raises:
      UserError: it cannot be loaded, or has another video branch than the
        index.
    """
    trained = self._load(self.workdir)
    description = self.index.description
    sharing.check_branch(
      self.index.folder, description, trained, self._rebuilding
    )
    return trained

  @functools.cached_property
  def model(self) -> str:
    """Fingerprint of the model's variables."""
    return sharing.model(self.trained)

  def kept_recordings(self) -> np.ndarray | None:
    """Vectors of the run's validation recordings, if a search has kept them."""
    return backgrounds.read(self.workdir, self.model)

  def search(
    self,
    query: Source | None = None,
    *,
    rate: int | None = None,
    words: str = '',
    part: str = '',
    answers: str = '',
    count: int = COUNT,
    threshold: float = THRESHOLD,
  ) -> Answers:
    """Finds what answers a question.

    Args:
      query: a file, see `question_files.FileQuestions`; or an array, see
        `questions.of_array`; None: `words` are asked.
      rate: of sound in an array, Hz.
      words: written words, for a model that reads.
      part: of a video, 'sound' or 'picture', see `FileQuestions`.
      answers: the vectors to compare with: 'video' (moments that show it),
        'audio' (sound), 'sum'; '': 'video', if the index has these.
      count: number of answers. Of windows that overlap, the best one counts.
      threshold: share of background questions above which an answer does not
        fit, see `Answer.chance`.

    Raises:
      UserError: the question cannot be read, or the run cannot ask it of this
        index.
    """
    if self.index.refresh():
      self._backgrounds.forget()
    names = self.index.description.names
    name = answers or ('video' if 'video' in names else names[0])
    question = question_files.make(
      lambda: self.trained,
      self._decoder,
      query,
      rate=rate,
      words=words,
      part=part,
    )
    self._check(question, name)
    found = nearest.distinct(self.index, name, question.vector, count)
    background = self._backgrounds.of(question.branch)
    return Answers(
      question=question.name,
      branch=question.branch,
      among=name,
      items=self._measured(question, name, found, threshold),
      threshold=threshold,
      background=len(background.vectors) if background else 0,
      source=background.source if background else '',
      media_dir=self.media_dir,
    )

  @property
  def _rebuilding(self) -> str:
    return sharing.rebuilding(
      self.index.folder, self.index.description, self.workdir, self.media_dir
    )

  def _check(self, question: Question, name: str) -> None:
    if question.branch:
      sharing.check_question(
        self.index.folder,
        self.index.description,
        self.trained,
        question.branch,
        name,
        self._rebuilding,
      )

  def _measured(
    self, question: Question, name: str, found: nearest.Found, threshold: float
  ) -> list[Answer]:
    """The answers with what is known of each."""
    background = self._backgrounds.of(question.branch)
    scores = np.array([score for _, _, score in found], np.float32)
    shares: list[float | None] = [None] * len(found)
    if background and found:
      vectors = self.index.vectors(name, [row for row, _, _ in found])
      paths = [window.path for _, window, _ in found]
      shares = background.shares(scores, vectors, paths)
    chances = self._backgrounds.chances(question.branch, name, scores)
    return [
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

  def _is_there(self, path: str) -> bool | None:
    return (self.media_dir / path).is_file() if self.media_dir else None

  def _curve(
    self, window: Window, name: str, question: Question
  ) -> moments.Curve | None:
    if not question.branch or window.end <= window.start:
      return None
    if name != 'video' and self.model != self.index.description.model:
      return None  # The run hears otherwise than the index.
    return moments.of_window(
      self.index, self.trained, window, name, question.vector
    )


def load_index(
  folder: str | os.PathLike,
  workdir: str | os.PathLike | None = None,
  *,
  media_dir: str | os.PathLike | None = None,
) -> Searcher:
  """Opens an index, to be asked with the model of a run.

  Args:
    folder: of the index.
    workdir: of a run with the video branch of the index; None: of the run that
      made the index.
    media_dir: folder of the files; None: the one that was indexed.

  Raises:
    UserError: see `Searcher`.
  """
  return Searcher(folder, workdir, media_dir=media_dir)
