"""Reading JSON and tables of annotations strictly.

What is not of the format raises an AnnotationError that names the file, the
place in it and what was expected.
"""

import csv
import json
import math
import pathlib
from collections.abc import Callable, Iterator

from avl_jax.errors import UserError

Skip = Callable[[str, str], None]  # (reason, what)


class AnnotationError(UserError, ValueError):
  """An annotation file that is missing or not of its format."""


def read_json(path: pathlib.Path):
  """What a JSON file holds."""
  try:
    return json.loads(path.read_text('utf-8'))
  except (ValueError, RecursionError, OSError) as error:
    raise AnnotationError(f'{path}: expected JSON: {error}') from error


def field(path: pathlib.Path, place: str, item, key: str, kind):
  """The value of a key, which must be of a type or one of several."""
  value = item.get(key) if isinstance(item, dict) else None
  kinds = kind if isinstance(kind, tuple) else (kind,)
  if not isinstance(value, kinds) or isinstance(value, bool):
    names = ' or '.join(each.__name__ for each in kinds)
    raise AnnotationError(f'{path}: {place}: expected {key!r}, a {names}')
  return value


def number_of(path: pathlib.Path, place: str, value) -> float:
  """A finite number of at least 0, of JSON or of text."""
  try:
    number = float(value)
  except (OverflowError, TypeError, ValueError):
    number = math.nan
  if not 0 <= number < math.inf:
    raise AnnotationError(
      f'{path}: {place}: expected a number of at least 0, got {value!r}'
    )
  return number


def segment(
  path: pathlib.Path, place: str, values, skip: Skip
) -> tuple[float, float] | None:
  """(start, end) seconds; None, and skipped, if nothing is between them."""
  if not isinstance(values, list) or len(values) != 2:
    raise AnnotationError(
      f'{path}: {place}: expected [start, end] in seconds, got {values!r}'
    )
  start, end = (number_of(path, place, value) for value in values)
  if end > start:
    return start, end
  skip('empty segment', f'{place}: {start:g} to {end:g} s')
  return None


def _rows(path: pathlib.Path, delimiter: str) -> Iterator[tuple[int, list]]:
  """(number, fields) of the lines that are not empty."""
  # Of tabs, quotes are part of the text.
  quoting = csv.QUOTE_NONE if delimiter == '\t' else csv.QUOTE_MINIMAL
  try:
    with path.open(newline='', encoding='utf-8-sig') as file:
      reader = csv.reader(file, delimiter=delimiter, quoting=quoting)
      for fields in reader:
        if any(field.strip() for field in fields):
          yield reader.line_num, [field.strip() for field in fields]
  except (ValueError, csv.Error, OSError) as error:
    raise AnnotationError(f'{path}: expected a table: {error}') from error


def lines(path: pathlib.Path, delimiter: str, count: int) -> Iterator[list]:
  """The fields of each line of a table without a header."""
  for number, fields in _rows(path, delimiter):
    while len(fields) > count and not fields[-1]:
      fields.pop()
    if len(fields) != count or not fields[0]:
      raise AnnotationError(
        f'{path}: line {number}: expected {count} fields, got {len(fields)}'
      )
    yield fields


def table(path: pathlib.Path, columns: list[str]) -> Iterator[list[str]]:
  """The fields of these columns of each line of a table with a header."""
  rows = _rows(path, ',')
  _, header = next(rows, (0, []))
  if not set(columns) <= set(header):
    raise AnnotationError(
      f'{path}: line 1: expected columns {", ".join(columns)}, got '
      f'{", ".join(header)}'
    )
  for number, fields in rows:
    if len(fields) != len(header):
      raise AnnotationError(
        f'{path}: line {number}: expected {len(header)} fields, got '
        f'{len(fields)}'
      )
    yield [fields[header.index(column)] for column in columns]
