"""Answers questions of clients with the model, in one thread."""

import contextlib
import dataclasses
import functools
import math
import pathlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from avl_jax.errors import UserError
from avl_jax.features import MissingError
from avl_jax.page import cancellation, exports, forms
from avl_jax.page.errors import BusyError
from avl_jax.page.forms import WindowId, Wish
from avl_jax.page.library import Library
from avl_jax.page.options import Options
from avl_jax.page.playback import Playback
from avl_jax.page.worker_queue import WorkerQueue
from avl_jax.search.query import non_overlapping, questions
from avl_jax.search.query.answers import Answer, Answers
from avl_jax.search.query.searcher import Searcher
from avl_jax.search.store.index import Window


class Answering:
  """Queries an index for clients.

  Attributes:
    background: number of background questions of sound, for people.
  """

  def __init__(
    self,
    workers: WorkerQueue[Searcher],
    library: Library,
    plays: Playback,
    threshold: float,
    options: Options,
    folder: pathlib.Path,
  ):
    """Takes what answers.

    Args:
      workers: with the model.
      library: of the files.
      plays: knows what a browser plays.
      threshold: see `Searcher.answer`.
      options: of the server.
      folder: for questions while they are answered.
    """
    self.threshold, self.background = threshold, 0
    self._workers, self._library, self._plays = workers, library, plays
    self._options, self._folder, self._visitors = options, folder, 0

  async def search(self, request: Request) -> Response:
    """Answers POST api/v1/search."""
    # Those who still send are as many as those who may wait, so that no more
    # is on the disk.
    if self._visitors >= 2 * self._options.askers:
      raise BusyError(self._visitors)
    self._visitors += 1
    try:
      async with forms.read(request) as wish:
        work, seconds = self._answered(wish), self._options.answer_seconds
        found = await cancellation.while_there(request, work, seconds)
    finally:
      self._visitors -= 1
    return exports.response(found, wish.format, str(request.base_url))

  async def _answered(self, wish: Wish) -> dict[str, Any]:
    if wish.upload:
      async with forms.as_file(wish.upload, self._folder) as path:
        answers = await self._ask(wish, path)
    else:
      answers = await self._ask(wish, '')
    if answers.branch == 'audio':
      self.background = answers.background
    return await self._described(wish, answers)

  async def _ask(self, wish: Wish, path: str) -> Answers:
    try:
      return await self._workers.run(functools.partial(self._find, wish, path))
    except UserError as error:
      if not wish.upload or path not in str(error):
        raise
      name = forms.name_of(wish.upload)
      error.args = (str(error).replace(path, name),)
      raise

  def _find(self, wish: Wish, path: str, searcher: Searcher) -> Answers:
    """The answers, in the thread of the model."""
    searcher.refresh()
    self._library.refresh(now=True)
    ask = functools.partial(
      searcher.answer,
      threshold=self.threshold if wish.threshold is None else wish.threshold,
      among=self._library.among(wish.filters),
    )
    if not wish.window:
      question = searcher.question(
        path or None, words=wish.text, part=wish.part
      )
      return ask(question, answers=wish.answers, count=wish.count)
    row = self._row(wish.window, searcher)
    question = questions.of_window(searcher.index, row)
    # Two windows that do not overlap each other may overlap the own one.
    answers = wish.answers or question.branch
    found = ask(question, answers=answers, count=wish.count + 2)
    own = searcher.index.window(row)
    others = [answer for answer in found.items if not _is_part(own, answer)]
    return dataclasses.replace(found, items=others[: wish.count])

  def _row(self, window: WindowId, searcher: Searcher) -> int:
    """The row of a window; MissingError if the index has it no longer."""
    file = self._library.find(window.file).file.path
    with contextlib.suppress(KeyError):  # It has just been taken out.
      for row in searcher.index.rows_of(file).tolist():
        found = searcher.index.window(row)
        if (found.start, found.end) == (window.start, window.end):
          return row
    raise MissingError(
      f'The index has no window {window}. It has been made anew. Ask again.'
    )

  async def _described(self, wish: Wish, answers: Answers) -> dict[str, Any]:
    """The answers as the API has them."""
    found = []
    for answer in answers.items:
      if item := self._library.by_path.get(answer.path):
        window = forms.WindowId(item.id, answer.start, answer.end)
        found.append(
          {
            'window': str(window),
            **item.facts(),
            'start': answer.start,
            'end': answer.end,
            **_measured(answer),
            **await self._plays(item),
          }
        )
    name = answers.question
    if wish.upload:
      name = forms.name_of(wish.upload)
    elif wish.text:
      name = wish.text
    return {
      'question': {'kind': _kind(wish, answers), 'name': name},
      'among': answers.among,
      'nothing_fits': answers.nothing_fits,
      'threshold': answers.threshold,
      'background': answers.background,
      'answers': found,
    }


def _kind(wish: Wish, answers: Answers) -> str:
  if wish.window:
    return 'window'
  return {'audio': 'sound', 'video': 'picture', 'text': 'text'}[answers.branch]


def _is_part(own: Window, answer: Answer) -> bool:
  """Whether an answer is a window, or shares time with it."""
  window = Window(answer.path, answer.start, answer.end)
  return window == own or non_overlapping.overlap(own, window)


def _measured(answer: Answer) -> dict[str, Any]:
  curve = None
  if answer.curve:
    pairs = zip(answer.curve.seconds, answer.curve.scores, strict=True)
    curve = [
      [float(t), None if math.isnan(x) else round(float(x), 4)]
      for t, x in pairs
    ]
  return {
    'best': answer.curve.best if answer.curve else answer.start,
    'score': answer.score,
    'share': answer.chance,
    'share_here': answer.share,
    'fits': None if answer.chance is None else answer.fits,
    'curve': curve,
  }
