"""Reads a question from a request: a form with a file, words, or a window."""

import contextlib
import dataclasses
import math
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from avl_jax.errors import ConfigError
from avl_jax.extraction import media_folder
from avl_jax.page.items import Filters, is_date
from avl_jax.search.query.searcher import COUNT

FORMATS = ('json', 'csv', 'm3u')
_FIELDS = 20
_PART = 2**16  # bytes of a field
_MOST = 100  # answers
_WORDS = 1000  # characters
_ANSWERS = ('', 'video', 'audio', 'sum')
_PARTS = ('', 'sound', 'picture')
_WINDOW = re.compile(
  r'(?P<id>[0-9a-f]{16})@(?P<start>\d+(\.\d+)?)-(?P<end>\d+(\.\d+)?)'
)


@dataclasses.dataclass(frozen=True)
class WindowId:
  """A window, 'ID@START-END'.

  Attributes:
    file: id of the file.
    start: seconds.
    end: seconds.
  """

  file: str
  start: float
  end: float

  def __str__(self) -> str:
    return f'{self.file}@{self.start!r}-{self.end!r}'


@dataclasses.dataclass(frozen=True)
class Wish:
  """A question of a client.

  Attributes:
    upload: a file.
    text: words.
    window: for what is like it.
    part: of a video, what is asked: 'sound' or 'picture'; '': its pictures.
    count: number of answers.
    answers: 'video', 'audio' or 'sum'; '': what the index has.
    threshold: see `Searcher.answer`; None: the server's.
    filters: which files may answer.
    format: of the answers, of `FORMATS`.
  """

  upload: UploadFile | None
  text: str
  window: WindowId | None
  part: str
  count: int
  answers: str
  threshold: float | None
  filters: Filters
  format: str


@contextlib.asynccontextmanager
async def read(request: Request) -> AsyncIterator[Wish]:
  """Context with what a form asks; its file is deleted at the end.

  Raises:
    ConfigError: a field is not possible.
  """
  async with request.form(
    max_files=1, max_fields=_FIELDS, max_part_size=_PART
  ) as form:
    yield _wish(form)


def _wish(form: FormData) -> Wish:
  upload = form.get('file')
  if upload is not None and not isinstance(upload, UploadFile):
    raise ConfigError("'file' is a text. Expected a file.")
  upload = upload if isinstance(upload, UploadFile) else None
  text, window = _text(form, 'text')[:_WORDS], _text(form, 'window')
  if sum(map(bool, (upload, text, window))) != 1:
    raise ConfigError(
      "There is no question, or there are several. Expected one of 'file' (a "
      "recording, a picture, a clip), 'text' and 'window'."
    )
  threshold = _number(form, 'threshold', 0, 1)
  return Wish(
    upload=upload,
    text=text,
    window=window_id(window) if window else None,
    part=_choice(form, 'part', _PARTS),
    count=_count(form),
    answers=_choice(form, 'answers', _ANSWERS),
    threshold=threshold,
    filters=Filters(
      folder=_text(form, 'folder') or None,
      language=_text(form, 'language') or None,
      date_from=_date(form, 'date_from'),
      date_to=_date(form, 'date_to'),
      seconds_from=_number(form, 'seconds_from', 0, math.inf),
      seconds_to=_number(form, 'seconds_to', 0, math.inf),
    ),
    format=_choice(form, 'format', ('', *FORMATS)) or 'json',
  )


def window_id(text: str) -> WindowId:
  """Reads the id of a window; ConfigError if it is none."""
  if not (found := _WINDOW.fullmatch(text)):
    raise ConfigError(
      f"'window' is {text!r}. Expected the id of an answer, FILE@START-END."
    )
  return WindowId(found['id'], float(found['start']), float(found['end']))


def number(text: str, name: str, least: float, most: float) -> float:
  """Reads a number; ConfigError if it is none, or not within the limits."""
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not least <= value <= most or math.isinf(value):
    limits = f'from {least:g} to {most:g}'
    if math.isinf(most):
      limits = f'of at least {least:g}'
    raise ConfigError(f'{name!r} is {text!r}. Expected a number {limits}.')
  return value


def _text(form: FormData, name: str) -> str:
  value = form.get(name, '')
  if not isinstance(value, str):
    raise ConfigError(f'{name!r} is a file. Expected a text.')
  return value.strip()


def _number(
  form: FormData, name: str, least: float, most: float
) -> float | None:
  text = _text(form, name)
  return number(text, name, least, most) if text else None


def _count(form: FormData) -> int:
  value = _number(form, 'k', 1, _MOST)
  if value and value != int(value):
    raise ConfigError(f"'k' is {value:g}. Expected a whole number.")
  return int(value or COUNT)


def _choice(form: FormData, name: str, choices: tuple[str, ...]) -> str:
  value = _text(form, name)
  if value not in choices:
    expected = ', '.join(filter(None, choices))
    raise ConfigError(f'{name!r} is {value!r}. Expected one of {expected}.')
  return value


def _date(form: FormData, name: str) -> str | None:
  value = _text(form, name)
  if value and not is_date(value):
    raise ConfigError(
      f'{name!r} is {value!r}. Expected a date such as 2026-11-26.'
    )
  return value or None


def name_of(upload: UploadFile) -> str:
  """The name that a client gave a file, without its folders."""
  name = re.split(r'[/\\]', upload.filename or '')[-1]
  shown = ''.join(c for c in name if c.isprintable())
  return shown[-100:] or 'question'


@contextlib.asynccontextmanager
async def as_file(
  upload: UploadFile, folder: pathlib.Path
) -> AsyncIterator[str]:
  """The path of a temporary file with a client's question.

  Its suffix is the client's, if it is a known one, since it tells what the
  file is; nothing else of the client's name is used.
  """
  name = name_of(upload)
  suffix = os.path.splitext(name)[1].lower()
  suffix = suffix if media_folder.kind(name) else ''
  with tempfile.NamedTemporaryFile(
    prefix='question.', suffix=suffix, dir=folder
  ) as file:
    await run_in_threadpool(shutil.copyfileobj, upload.file, file, 2**20)
    file.flush()
    yield file.name
