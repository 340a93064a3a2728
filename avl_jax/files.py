"""Files that are whole or not there, and folders that one run has to itself."""

import contextlib
import fcntl
import os
import pathlib
import socket
from collections.abc import Iterator

from avl_jax.errors import UserError


def write_atomically(path: str | os.PathLike, content: str | bytes) -> None:
  """Writes a file so that an interruption leaves the old one as it was.

  The folder is made if it is not there.

  Raises:
    UserError: it cannot be written.
  """
  path = pathlib.Path(path)
  temporary = path.with_name(f'{path.name}.tmp')
  if isinstance(content, str):
    content = content.encode()
  with writing(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(content)
    os.replace(temporary, path)


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
  """Says plainly that a file cannot be written, as a UserError."""
  try:
    yield
  except OSError as error:
    raise UserError(
      f'{path} cannot be written: {error.strerror}. Make room or choose '
      'another place, then run the same command again; nothing saved before is '
      'lost'
    ) from error


class Lock:
  """A folder's lock, a context: one process at a time works in it.

  The operating system holds it, so that a process that dies lets go of it,
  however it dies; what the file says is for people.

  Attributes:
    path: of the file, `folder`/lock.
    last_alive: when the process before was last known to live, in seconds since
      the epoch, if it ended without letting go; else None.
  """

  def __init__(self, folder: pathlib.Path):
    """Takes the lock; makes the folder if it is not there.

    Args:
      folder: to be locked.

    Raises:
      UserError: another process has it, or the folder cannot be written.
    """
    self.path = folder / 'lock'
    with writing(self.path):
      folder.mkdir(parents=True, exist_ok=True)
      self._file = self.path.open('ab+', buffering=0)
    self._file.seek(0)
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      owner = self._file.read().decode().strip() or 'another process'
      self._file.close()
      raise UserError(
        f'{owner} works in {folder}: wait for it or end it, or choose another '
        'workdir'
      ) from error
    stale = self._file.read().decode().strip()
    self.last_alive = self.path.stat().st_mtime if stale else None
    if stale:
      print(f'{folder}: {stale} is gone without finishing; this run goes on')
    self._say(f'process {os.getpid()} on {socket.gethostname()}')

  def _say(self, text: str) -> None:
    with writing(self.path):
      self._file.truncate(0)
      self._file.write(text.encode())

  def __enter__(self) -> 'Lock':
    return self

  def __exit__(self, *_) -> None:
    """Lets go of the folder."""
    self._say('')
    self._file.close()
