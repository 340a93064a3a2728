"""Queries an index with the model of a run."""

import functools
import os
import pathlib
from collections.abc import Callable, Collection

import numpy as np

from avl_jax import trained_model
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.extraction.model_inputs import Source
from avl_jax.retrieval import evaluation
from avl_jax.search.query import (
  annotation,
  backgrounds,
  compatibility,
  non_overlapping,
  question_files,
  questions,
)
from avl_jax.search.query.answers import Answers
from avl_jax.search.query.questions import Question
from avl_jax.search.store.index import Description, Index
from avl_jax.search.update import building, description, provenance
from avl_jax.trained_model import TrainedModel

COUNT = 10  # answers
THRESHOLD = 0.1


class Searcher:
  """An open index with the run that queries it; a context manager.

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
      limits: of decoding a question's file; None: the defaults.
      load: workdir -> its model; None: `trained_model.load`.
      recordings: searcher -> vectors of the run's validation recordings,
        float32 [B, D], or None, called once; None: those that an earlier search
        has kept.

    Raises:
      UserError: there is no index, or it is damaged; or it does not say whose
        it is, and no workdir is given.
    """
    self.index = Index.open(pathlib.Path(folder).expanduser())
    workdir = workdir or provenance.run_of(self.index.folder)
    self.workdir = pathlib.Path(workdir).expanduser()
    media_dir = media_dir or building.media_dir_of(self.index.folder)
    self.media_dir = pathlib.Path(media_dir).expanduser() if media_dir else None
    self._decoder, self._load = Decoder(limits), load or trained_model.load
    recordings = recordings or Searcher.kept_recordings
    self._backgrounds = backgrounds.Backgrounds(
      self.index, lambda: self.model, functools.cache(lambda: recordings(self))
    )
    self._annotate = annotation.Annotator(self, self._backgrounds)
    self._checked: Description | None = None

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
    self._check_branch(trained)
    return trained

  @functools.cached_property
  def model(self) -> str:
    """Fingerprint of the model's variables."""
    return evaluation.fingerprint(self.trained.variables)

  @functools.cached_property
  def networks(self) -> dict[str, str]:
    """Stream -> network of the features that the model takes."""
    return description.networks(self.trained)

  def kept_recordings(self) -> np.ndarray | None:
    """Vectors of the run's validation recordings, if a search has kept them."""
    return backgrounds.read(self.workdir, self.model)

  def refresh(self) -> None:
    """Reads what has been committed to the index.

    Raises:
      UserError: the index is that of another model now.
    """
    if self.index.refresh():
      self._backgrounds.forget()
    if self._checked not in (None, self.index.description):
      self._check_branch(self.trained)

  def interrupt(self) -> None:
    """Gives up the file that is being decoded, from any thread."""
    self._decoder.interrupt()

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
      answers: see `answer`.
      count: likewise.
      threshold: likewise.

    Raises:
      UserError: the question cannot be read, or the run cannot ask it of this
        index.
    """
    self.refresh()
    question = self.question(query, rate=rate, words=words, part=part)
    return self.answer(
      question, answers=answers, count=count, threshold=threshold
    )

  def question(
    self,
    query: Source | None = None,
    *,
    rate: int | None = None,
    words: str = '',
    part: str = '',
  ) -> Question:
    """Embeds a question; see `search`."""
    return question_files.make(
      lambda: self.trained,
      self._decoder,
      query,
      rate=rate,
      words=words,
      part=part,
    )

  def answer(
    self,
    question: Question,
    *,
    answers: str = '',
    count: int = COUNT,
    threshold: float = THRESHOLD,
    among: Collection[str] | None = None,
  ) -> Answers:
    """Finds what answers a question, as the index was at the last `refresh`.

    Args:
      question: of `question`, or of `questions.of_window`.
      answers: the vectors to compare with: 'video' (moments that show it),
        'audio' (sound), 'sum'; '': 'video', if the index has these.
      count: number of answers. Of windows that overlap, the best one counts.
      threshold: share of background questions above which an answer does not
        fit, see `Answer.chance`.
      among: paths of the files that may answer; None: all. `Answer.chance` is
        of all.

    Raises:
      ConfigError: `count` or `threshold` is out of range.
      UserError: the run cannot ask it of this index.
    """
    questions.check(question, self.index.description.dim, count, threshold)
    names = self.index.description.names
    name = answers or ('video' if 'video' in names else names[0])
    if question.branch:
      compatibility.check_question(
        self.index, self, question.branch, name, self._rebuilding
      )
    found = non_overlapping.distinct(
      self.index, name, question.vector, count, among
    )
    return self._annotate(question, name, found, threshold)

  @property
  def _rebuilding(self) -> str:
    return compatibility.rebuilding(
      self.index.folder, self.index.description, self.workdir, self.media_dir
    )

  def _check_branch(self, trained: TrainedModel) -> None:
    compatibility.check_branch(self.index, trained, self._rebuilding)
    self._checked = self.index.description


def load_index(
  folder: str | os.PathLike,
  workdir: str | os.PathLike | None = None,
  *,
  media_dir: str | os.PathLike | None = None,
) -> Searcher:
  """Opens an index for queries with the model of a run.

  Example:
    with avl_jax.load_index('runs/index') as index:
      print(index.search('question.wav').table())

  Args:
    folder: of the index.
    workdir: of a run with the video branch of the index; None: of the run that
      made the index.
    media_dir: folder of the files; None: the one that was indexed.

  Raises:
    UserError: see `Searcher`.
  """
  return Searcher(folder, workdir, media_dir=media_dir)
