"""Keeps what goes wrong with one file of many from ending the work."""

import contextlib
import errno
import os
from collections.abc import Iterator

from avl_jax.errors import UserError
from avl_jax.features import (
  MediaError,
  MissingError,
  NetworkError,
  UnexpectedError,
  UnsafeNameError,
)
from avl_jax.files import OutsideError

# Errors of the machine, which the next file meets, too.
OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}


@contextlib.contextmanager
def guard(name: str | os.PathLike) -> Iterator[None]:
  """Turns whatever reading a file raises into a MediaError that names it.

  A decoder may raise anything for a damaged file, even MemoryError for the
  size that it claims. What is no fault of the file is raised as it is: the
  errors of a network on what was read (`NetworkError`), an OSError of a full
  disk or of too many open files, and other errors with a message for the user,
  such as of a cache that cannot be written.

  Args:
    name: of the file or the item, for messages.

  Raises:
    MediaError: the file cannot be used; MissingError, UnsafeNameError; or
      UnexpectedError, of an error that nobody has foreseen.

  Example:
    with reading.guard(path):
      waveform = audio.read_audio(path)
  """
  name = os.fspath(name)
  try:
    yield
  except OutsideError as error:
    raise UnsafeNameError(str(error)) from error
  except UserError:  # It says itself what is wrong.
    raise
  except NetworkError as error:
    error.add_note(f'The file was {name}.')
    raise
  except FileNotFoundError as error:
    raise MissingError(f'{name}: {error}.') from error
  except OSError as error:
    if error.errno in OF_THE_MACHINE:
      raise
    raise MediaError(f'{name}: {error}.') from error
  except Exception as error:
    raise UnexpectedError(
      f'{name}: Reading it fails ({type(error).__name__}: {error}).'
    ) from error
