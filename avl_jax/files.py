"""Files that are whole or not there, and folders that one run has to itself."""

import fcntl
import os
import pathlib
import socket

from avl_jax import UserError


def write_atomically(path: str | os.PathLike, content: str | bytes) -> None:
  """Writes a file so that an interruption leaves the old one as it was.

  The folder is made if it is not there.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'{path.name}.tmp')
  if isinstance(content, str):
    content = content.encode()
  temporary.write_bytes(content)
  os.replace(temporary, path)


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
    try:
      folder.mkdir(parents=True, exist_ok=True)
      self._file = self.path.open('a+')
    except OSError as error:
      raise UserError(
        f'{folder} cannot be written ({error.strerror}): choose another workdir'
      ) from error
    self._file.seek(0)
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      owner = self._file.read().strip() or 'another process'
      self._file.close()
      raise UserError(
        f'{owner} works in {folder}: wait for it or end it, or choose another '
        'workdir'
      ) from error
    stale = self._file.read().strip()
    self.last_alive = self.path.stat().st_mtime if stale else None
    if stale:
      print(f'{folder}: {stale} is gone without finishing; this run goes on')
    self._say(f'process {os.getpid()} on {socket.gethostname()}')

  def _say(self, text: str) -> None:
    self._file.truncate(0)
    self._file.write(text)
    self._file.flush()

  def __enter__(self) -> 'Lock':
    return self

  def __exit__(self, *_) -> None:
    """Lets go of the folder."""
    self._say('')
    self._file.close()
