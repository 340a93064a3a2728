"""Finds and strictly parses annotation files: JSON and tables.

A deviation from the format raises an AnnotationError that names the file, the
place in it and what was expected.
"""

import csv
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from avl_jax.errors import UserError
from avl_jax.features import Status

# (what became of an item, its name and perhaps a colon and the details)
Skip = Callable[[Status, str], None]


class AnnotationError(UserError, ValueError):
  """An annotation file that is missing or malformed."""


def find(root: pathlib.Path, *names: str) -> pathlib.Path | None:
  """Finds a file or folder in `root` or one folder further down.

  Args:
    root: where to look.
    *names: alternatives; the first that exists is taken.

  Returns:
    The path; None if there is none.
  """
  for name in names:
    for path in (root / name, *sorted(root.glob(f'*/{name}'))):
      if path.exists():
        return path
  return None


def require(root: pathlib.Path, *names: str) -> pathlib.Path:
  """Finds a file as `find` does; AnnotationError if there is none."""
  if path := find(root, *names):
    return path
  raise AnnotationError(
    f'There is no {" or ".join(names)} in {root} or in a folder in it. Put the '
    "data set's annotations there, as its authors distribute them."
  )


def read_json(path: pathlib.Path) -> Any:
  """Returns the content of a JSON file."""
  try:
    return json.loads(path.read_text('utf-8'))
  except (ValueError, RecursionError, OSError) as error:
    raise AnnotationError(f'{path}: Expected JSON: {error}.') from error


def field(
  path: pathlib.Path,
  place: str,
  item: Any,
  key: str,
  kind: type | tuple[type, ...],
) -> Any:
  """Returns the value of a key, and checks that it has (one of) the types."""
  value = item.get(key) if isinstance(item, dict) else None
  kinds = kind if isinstance(kind, tuple) else (kind,)
  if not isinstance(value, kinds) or isinstance(value, bool):
    names = ' or '.join(each.__name__ for each in kinds)
    raise AnnotationError(f'{path}: {place}: Expected {key!r}, a {names}.')
  return value


def parse_number(path: pathlib.Path, place: str, value) -> float:
  """Converts a JSON value or text to a finite number of at least 0."""
  try:
    number = float(value)
  except (OverflowError, TypeError, ValueError):
    number = math.nan
  if not 0 <= number < math.inf:
    raise AnnotationError(
      f'{path}: {place}: Expected a number of at least 0, got {value!r}.'
    )
  return number


def parse_segment(
  path: pathlib.Path, place: str, values, skip: Skip
) -> tuple[float, float] | None:
  """Returns (start, end) in seconds, or skips an empty segment: None."""
  if not isinstance(values, list) or len(values) != 2:
    raise AnnotationError(
      f'{path}: {place}: Expected [start, end] in seconds, got {values!r}.'
    )
  start, end = (parse_number(path, place, value) for value in values)
  if end > start:
    return start, end
  skip(Status.TOO_SHORT, f'{place}: from {start:g} to {end:g} s.')
  return None


def _rows(path: pathlib.Path, delimiter: str) -> Iterator[tuple[int, list]]:
  """Yields (line number, fields) of each line that is not empty."""
  # In tables with tabs, quotes are part of the text.
  quoting = csv.QUOTE_NONE if delimiter == '\t' else csv.QUOTE_MINIMAL
  try:
    with path.open(newline='', encoding='utf-8-sig') as file:
      reader = csv.reader(file, delimiter=delimiter, quoting=quoting)
      for fields in reader:
        if any(field.strip() for field in fields):
          yield reader.line_num, [field.strip() for field in fields]
  except (ValueError, csv.Error, OSError) as error:
    raise AnnotationError(f'{path}: Expected a table: {error}.') from error


def read_lines(
  path: pathlib.Path, delimiter: str, count: int
) -> Iterator[list]:
  """Yields the fields of each line of a table without a header."""
  for number, fields in _rows(path, delimiter):
    while len(fields) > count and not fields[-1]:
      fields.pop()
    if len(fields) != count or not fields[0]:
      raise AnnotationError(
        f'{path}: line {number}: Expected {count} fields, got {len(fields)}.'
      )
    yield fields


def _table(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
  """Yields (line number, fields): the header, then lines of as many fields."""
  header: list[str] = []
  for number, fields in _rows(path, ','):
    header = header or fields
    if len(fields) != len(header):
      raise AnnotationError(
        f'{path}: line {number}: Expected {len(header)} fields, got '
        f'{len(fields)}.'
      )
    yield number, fields


def read_table(path: pathlib.Path, columns: list[str]) -> Iterator[list[str]]:
  """Yields the fields of these columns for each line below the header."""
  rows = _table(path)
  _, header = next(rows, (1, []))
  if not set(columns) <= set(header):
    raise AnnotationError(
      f'{path}: line 1: Expected the columns {", ".join(columns)}, got '
      f'{", ".join(header)}.'
    )
  for _, fields in rows:
    yield [fields[header.index(column)] for column in columns]


def read_numbered(
  path: pathlib.Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
  """Yields (line number, column -> field) for each line below the header.

  Args:
    path: of the table.
    columns: that the table must have.
    optional: that it may have; '' where it has not. Others are an error.
  """
  rows = _table(path)
  _, header = next(rows, (1, []))
  known, found = (*columns, *optional), set(header)
  is_complete = set(columns) <= found <= set(known)
  if not is_complete or len(found) < len(header):
    others = f', and perhaps {", ".join(optional)}' if optional else ''
    raise AnnotationError(
      f'{path}: line 1: Expected the columns {", ".join(columns)}{others}, '
      f'got {", ".join(header)}.'
    )
  for number, fields in rows:
    found = dict(zip(header, fields, strict=True))
    yield number, {name: found.get(name, '') for name in known}
