"""Answers of an index: as values, as a table and as JSON."""

import dataclasses
import json
import math
import pathlib
import unicodedata
from typing import Any

from avl_jax.search.query import confidence
from avl_jax.search.query.best_seconds import Curve

_MOVED = ' (moved away)'


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
  """A window that may answer a question.

  Attributes:
    path: of the file, relative to the media folder.
    start: of the window, seconds.
    end: of the window, seconds; of a picture 0, as the start.
    score: dot product with the question.
    share: of the background questions, how many score as high on this window;
      None: too few are known.
    chance: of the background questions, how many score as high on their own
      second-best window of the index; None: too few are known.
    fits: False: the chance is above the threshold.
    is_there: whether the file is in the media folder; None: that is not known.
    curve: scores of its seconds; None: they are not known.
  """

  path: str
  start: float
  end: float
  score: float
  share: float | None
  chance: float | None
  fits: bool
  is_there: bool | None
  curve: Curve | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
  """The answers to a question, the best first.

  Attributes:
    question: its name.
    branch: 'audio', 'video', 'text' or '', see `questions.Question`.
    among: the vectors it was compared with: 'video', 'audio' or 'sum'.
    items: the answers.
    threshold: see `Searcher.search`.
    background: number of background questions; 0: none are known.
    source: where they are from.
    media_dir: folder of the files; None: it is not known.
  """

  question: str
  branch: str
  among: str
  items: list[Answer]
  threshold: float
  background: int
  source: str
  media_dir: pathlib.Path | None

  @property
  def nothing_fits(self) -> bool:
    """Whether no answer fits."""
    return not any(answer.fits for answer in self.items)

  def table(self) -> str:
    """A table for people, with what is to be said about it."""
    if not self.items:
      return f'Nothing in the index has {self.among} vectors.'
    lines = [self._title(), '', *_aligned(self._rows()), '', *self._notes()]
    return '\n'.join(line.rstrip() for line in lines)

  def _title(self) -> str:
    if not self.nothing_fits:
      return f'Answers to {shown(self.question)}:'
    return (
      f'Nothing fits {shown(self.question)}: more than '
      f'{100 * self.threshold:g} % of the background questions have as good an '
      'answer by chance. The nearest:'
    )

  def _rows(self) -> list[list[str]]:
    rows = [['', 'file', 'time', 'score', 'here', 'anywhere', 'best second']]
    for number, answer in enumerate(self.items, 1):
      best = ''
      if answer.curve:
        best = f'{clock(answer.curve.best)} {answer.curve.text()}'
      rows.append(
        [
          str(number),
          shown(answer.path) + (_MOVED if answer.is_there is False else ''),
          span(answer.start, answer.end),
          f'{answer.score:.4g}',
          percent(answer.share, self.background),
          percent(answer.chance, self.background),
          best,
        ]
      )
    return rows

  def _notes(self) -> list[str]:
    notes = []
    if any(answer.chance is not None for answer in self.items):
      notes.append(
        f'here, anywhere: share of {self.background:,} background questions '
        f'({self.source}) that score as high on this window, or on their own '
        'second-best window of the index. An answer fits if the latter is at '
        f'most {100 * self.threshold:g} % (--config.search.threshold).'
      )
    else:
      notes.append(
        'here, anywhere: nothing can be said; there are fewer than '
        f'{confidence.LEAST} background questions.'
      )
    if any(answer.is_there is False for answer in self.items):
      notes.append(
        f'moved away: the file is no longer in {self.media_dir}. The index '
        'still knows it; --mode=index brings the index up to date.'
      )
    return notes

  def to_json(self) -> str:
    """The same for programs: one JSON object."""
    return json.dumps(
      {
        'question': self.question,
        'branch': self.branch,
        'among': self.among,
        'nothing_fits': self.nothing_fits,
        'threshold': self.threshold,
        'background': {'count': self.background, 'source': self.source},
        'media_dir': self.media_dir and str(self.media_dir),
        'answers': list(map(_values, self.items)),
      },
      indent=2,
      allow_nan=False,
    )


def _values(answer: Answer) -> dict[str, Any]:
  values = {
    field.name: getattr(answer, field.name)
    for field in dataclasses.fields(answer)
    if field.name != 'curve'
  }
  values['best_second'], values['curve'] = None, None
  if curve := answer.curve:
    scores = [None if math.isnan(x) else x for x in curve.scores.tolist()]
    values['best_second'] = curve.best
    values['curve'] = {'seconds': curve.seconds.tolist(), 'scores': scores}
  return values


def clock(seconds: float) -> str:
  """'1:02:03' of 3723 seconds, '0:07' of 7.5."""
  minutes, second = divmod(int(seconds), 60)
  hours, minute = divmod(minutes, 60)
  if hours:
    return f'{hours}:{minute:02}:{second:02}'
  return f'{minute}:{second:02}'


def span(start: float, end: float) -> str:
  """'0:10-0:20'; '' of a picture."""
  return f'{clock(start)}-{clock(math.ceil(end))}' if end > start else ''


def percent(share: float | None, count: int) -> str:
  """'1.2 %'; '< 0.3 %' where none of `count` questions scores as high."""
  if share is None:
    return '?'
  return f'{100 * share:.1f} %' if share else f'< {100 / count:.1g} %'


def shown(path: str) -> str:
  """A path that cannot change the terminal: no control characters."""
  return ''.join(c if c.isprintable() else '?' for c in path)


def _aligned(rows: list[list[str]]) -> list[str]:
  widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
  return [
    '  '.join(
      text + ' ' * (width - _width(text))
      for text, width in zip(row, widths, strict=True)
    )
    for row in rows
  ]


def _width(text: str) -> int:
  """Columns of a terminal."""
  wide = sum(unicodedata.east_asian_width(c) in 'WF' for c in text)
  marks = sum(bool(unicodedata.combining(c)) for c in text)
  return len(text) + wide - marks
