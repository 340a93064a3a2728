"""Errors of files in the authors' formats."""

import contextlib
import os
from collections.abc import Iterator

from avl_jax.errors import UserError

_SHOWN = 500  # characters of a message, which may quote a file


class ReleaseError(UserError, ValueError):
  """A file that is damaged or holds more than arrays and containers."""


@contextlib.contextmanager
def naming(path: str | os.PathLike, expected: str) -> Iterator[None]:
  """Turns every error of a file's content into a `ReleaseError` with its path.

  Args:
    path: of the file.
    expected: what the file should be, 'a pickle'.
  """
  try:
    yield
  except ReleaseError as error:
    raise ReleaseError(f'{path}: {_shortened(str(error))}') from None
  # A damaged file may raise anything.
  except Exception as error:
    raise ReleaseError(
      f'{path}: The file is truncated, damaged or not {expected} '
      f'({_shortened(repr(error))}).'
    ) from error


def _shortened(text: str) -> str:
  """The text without what a terminal cannot encode, not as long as a file."""
  text = text if len(text) <= _SHOWN else f'{text[:_SHOWN]} ...'
  return text.encode(errors='backslashreplace').decode()
