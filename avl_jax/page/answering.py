"""Answers questions of visitors: with the model, in one thread."""

import functools
import math
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from avl_jax.errors import UserError
from avl_jax.features import MissingError
from avl_jax.page import exports, forms, visitors
from avl_jax.page.forms import Wish
from avl_jax.page.lanes import Lane
from avl_jax.page.library import Library
from avl_jax.page.plays import Plays
from avl_jax.search import questions
from avl_jax.search.answers import Answer, Answers
from avl_jax.search.asking import Searcher
from avl_jax.search.questions import Question


class Answering:
  """Asks an index what visitors want to know.

  Attributes:
    background: number of background questions of sound, for people.
  """

  def __init__(
    self,
    lane: Lane[Searcher],
    library: Library,
    plays: Plays,
    threshold: float,
    seconds: float,
  ):
    """Takes what answers.

    Args:
      lane: with the model.
      library: of the files.
      plays: knows what a browser plays.
      threshold: see `Searcher.answer`.
      seconds: that a visitor waits at most.
    """
    self.threshold, self.background = threshold, 0
    self._lane, self._library, self._plays = lane, library, plays
    self._seconds = seconds

  async def search(self, request: Request) -> Response:
    """Answers POST api/v1/search."""
    async with forms.read(request) as wish:
      work = self._answered(wish)
      found = await visitors.while_there(request, work, self._seconds)
    return exports.response(found, wish.format, str(request.base_url))

  async def _answered(self, wish: Wish) -> dict[str, Any]:
    if wish.upload:
      async with forms.as_file(wish.upload) as path:
        answers = await self._ask(wish, path)
    else:
      answers = await self._ask(wish, '')
    if answers.branch == 'audio':
      self.background = answers.background
    return await self._described(wish, answers)

  async def _ask(self, wish: Wish, path: str) -> Answers:
    try:
      return await self._lane.run(functools.partial(self._find, wish, path))
    except UserError as error:
      if not path or not wish.upload:
        raise
      name = forms.name_of(wish.upload)
      raise type(error)(str(error).replace(path, name)) from error

  def _find(self, wish: Wish, path: str, searcher: Searcher) -> Answers:
    """The answers, in the thread of the model."""
    searcher.refresh()
    self._library.refresh(now=True)
    question, row = self._question(wish, path, searcher)
    threshold = self.threshold if wish.threshold is None else wish.threshold
    return searcher.answer(
      question,
      answers=wish.answers or _like(question, row, searcher),
      count=wish.count,
      threshold=threshold,
      among=self._library.among(wish.filters),
    )

  def _question(
    self, wish: Wish, path: str, searcher: Searcher
  ) -> tuple[Question, int | None]:
    """The question, and the row of the window that is asked."""
    if not wish.window:
      return searcher.question(path or None, words=wish.text, part=wish.part), (
        None
      )
    file = self._library.find(wish.window.file).file.path
    span = (wish.window.start, wish.window.end)
    for row in searcher.index.rows_of(file).tolist():
      window = searcher.index.window(row)
      if (window.start, window.end) == span:
        return questions.of_window(searcher.index, row), row
    raise MissingError(
      f'The index has no window {wish.window}. It has been made anew. Ask '
      'again.'
    )

  async def _described(self, wish: Wish, answers: Answers) -> dict[str, Any]:
    """The answers as the API has them."""
    found = []
    for answer in answers.items:
      item = self._library.by_path.get(answer.path)
      if item is None:
        continue  # It has been taken out meanwhile.
      window = forms.WindowId(item.id, answer.start, answer.end)
      found.append(
        {
          'window': str(window),
          'file': item.id,
          'name': item.name,
          'folder': item.folder,
          'kind': item.kind,
          'start': answer.start,
          'end': answer.end,
          **_measured(answer),
          'duration': item.file.seconds,
          'language': item.language or None,
          'date': item.date or None,
          'plays': await self._plays(item),
          'missing': not self._library.is_there(item),
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


def _like(question: Question, row: int | None, searcher: Searcher) -> str:
  """What is compared with a window: what it has; '': the usual."""
  if row is None:
    return ''
  return question.branch or searcher.index.description.names[0]


def _kind(wish: Wish, answers: Answers) -> str:
  if wish.window:
    return 'window'
  return {'audio': 'sound', 'video': 'picture', 'text': 'text'}[answers.branch]


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
