"""Reads a large JSON object item by item, in bounded memory."""

import codecs
import json
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from input_pipeline.datasets.parsing import AnnotationError

CHUNK = 2**20  # bytes that are read at once
LONGEST = 2**28  # characters of an item
_SPACE = re.compile(r'[ \t\n\r]+')
_KINDS = {'[': 'list', '"': 'str'}
# So near to the end of what was read, an error may be due to the end: 'tru'.
_NEAR = 16


def json_items(
  path: pathlib.Path, advance: Callable[[int], object] = lambda _: None
) -> Iterator[tuple[str, Any]]:
  """Yields the items of a JSON object, as `parsing.read_json` reads them.

  The file is read once. Held in memory are one item and a few megabytes.

  Args:
    path: of the file.
    advance: is called with the number of bytes of each piece that is read.

  Yields:
    (key, value), in the order of the file. If a key occurs twice, the last
    value is that of the object.

  Raises:
    AnnotationError: the file is no JSON object, or an item is too long.
  """
  try:
    with path.open('rb', buffering=0) as file:
      yield from _Reader(file.read, advance)
  except AnnotationError as error:
    raise AnnotationError(f'{path}: {error}') from None
  except (ValueError, RecursionError, OSError) as error:
    raise AnnotationError(f'{path}: Expected JSON: {error}.') from error


class _Reader:
  """The text of a file around a position.

  Attributes:
    text: what is held.
    at: the position in it.
  """

  def __init__(self, read: Callable[[int], bytes], advance: Callable):
    self.text, self.at = '', 0
    self._read, self._advance = read, advance
    # A mark of the byte order is no part of the text.
    self._decoder = codecs.getincrementaldecoder('utf-8-sig')()
    self._scan = json.JSONDecoder().raw_decode
    self._before = 0  # characters before the text
    self._is_last = False

  def __iter__(self) -> Iterator[tuple[str, Any]]:
    """Yields the items."""
    if (first := self._next()) != '{':
      if first in _KINDS:
        raise AnnotationError(
          f'Expected an object {{key: value}}, got a {_KINDS[first]}.'
        )
      raise self._error('expected {')
    self.at += 1
    if self._next() == '}':
      self.at += 1
    else:
      yield from self._items()
    if self._next():
      raise self._error('extra data')

  def _items(self) -> Iterator[tuple[str, Any]]:
    """Yields the items up to the bracket that closes the object."""
    mark = ','
    while mark != '}':
      if self._next() != '"':
        raise self._error('expected a key in double quotes')
      key = self._value()
      if self._next() != ':':
        raise self._error('expected :')
      self.at += 1
      self._next()
      yield key, self._value()
      mark = self._next()
      if mark not in (',', '}'):
        raise self._error('expected , or }')
      self.at += 1

  def _next(self) -> str:
    """Returns the next character that is no space; '' at the end."""
    while True:
      if space := _SPACE.match(self.text, self.at):
        self.at = space.end()
      if self.at < len(self.text) or self._is_last:
        return self.text[self.at : self.at + 1]
      self._extend()

  def _value(self) -> Any:
    """Returns the value at the position, which moves behind it."""
    while True:
      try:
        value, end = self._scan(self.text, self.at)
        # A number may go on: 2.5 of 2.5e-9.
        if end + _NEAR < len(self.text) or self._is_last:
          self.at = end
          return value
      except json.JSONDecodeError as error:
        is_cut = error.msg.startswith('Unterminated string')
        is_cut |= error.pos + _NEAR > len(self.text)
        if self._is_last or not is_cut:
          self.at = error.pos
          raise self._error(error.msg) from None
      self._extend()

  def _extend(self) -> None:
    """Reads as much again as is held, at least a chunk."""
    self._before += self.at
    self.text, self.at = self.text[self.at :], 0
    if len(self.text) > LONGEST:
      raise AnnotationError(
        f'From character {self._before} on, there is an item of more than '
        f'{LONGEST} characters. Expected many small items.'
      )
    content = self._read(max(len(self.text), CHUNK))
    self._advance(len(content))
    self._is_last = not content
    self.text += self._decoder.decode(content, final=self._is_last)

  def _error(self, problem: str) -> ValueError:
    return ValueError(f'{problem} at character {self._before + self.at}')
