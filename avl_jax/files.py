"""Atomic writes, folder locks, and paths that stay inside a folder."""

import contextlib
import fcntl
import os
import pathlib
import socket
from collections.abc import Iterator

from avl_jax import logs
from avl_jax.errors import UserError


class InUseError(UserError):
  """A folder that another process has locked."""


class OutsideError(UserError, ValueError):
  """A file name that leads out of its folder."""


def inside(root: str | os.PathLike, *names: str) -> pathlib.Path:
  """Joins untrusted names to a folder and checks that the path stays in it.

  Args:
    root: the folder.
    *names: parts of a path below `root`, such as an entry of a list of files.

  Returns:
    The path. The file need not exist.

  Raises:
    OutsideError: the names lead out of the root: '..', an absolute path, or a
      symbolic link to somewhere else, or a name that no file can have.
  """
  root = pathlib.Path(root).resolve()
  path = root.joinpath(*names)
  try:
    is_inside = path.resolve().is_relative_to(root)
  # RuntimeError: links that lead to each other.
  except (OSError, RuntimeError, ValueError) as error:
    raise OutsideError(
      f'{"/".join(names)!r} is not a valid path: {error}.'
    ) from error
  if '..' in path.parts or not is_inside:
    raise OutsideError(
      f'{"/".join(names)!r} leads out of {root}. Expected a path inside it. '
      'Correct the list or the link.'
    )
  return path


def write_atomically(path: str | os.PathLike, content: str | bytes) -> None:
  """Writes a file so that an interruption leaves the old content intact.

  Missing folders are created.

  Raises:
    UserError: the file cannot be written.
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
  """Turns an error of the system while writing `path` into a UserError."""
  try:
    yield
  except OSError as error:
    if error.errno is None:  # Not of the system, such as of a damaged picture.
      raise
    raise UserError(
      f'{path} cannot be written: {error.strerror}. Free disk space or choose '
      'another folder, then run the same command again. Everything saved '
      'before is kept.'
    ) from error


class Lock:
  """Exclusive lock of a folder, as a context manager.

  One process at a time may hold it. The operating system keeps the lock, so it
  is released even if the process is killed. The content of the file (process
  and host) is for messages.

  Attributes:
    path: of the file, `folder`/lock.
    last_alive: time of the previous owner's last heartbeat, seconds since the
      epoch; None if it released the lock.
  """

  def __init__(self, folder: pathlib.Path):
    """Takes the lock; creates the folder if it is missing.

    Args:
      folder: to be locked.

    Raises:
      InUseError: another process holds the lock.
      UserError: the folder cannot be written.
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
      raise InUseError(
        f'{folder} is in use by {owner}. Wait for it to finish, stop it, or '
        'choose another folder.'
      ) from error
    stale = self._file.read().decode().strip()
    self.last_alive = self.path.stat().st_mtime if stale else None
    if stale:
      logs.write(
        f'Resuming {folder}: its previous run ({stale}) did not finish.'
      )
    self._write_owner(f'process {os.getpid()} on {socket.gethostname()}')

  def _write_owner(self, owner: str) -> None:
    with writing(self.path):
      self._file.truncate(0)
      self._file.write(owner.encode())

  def __enter__(self) -> 'Lock':
    return self

  def __exit__(self, *_) -> None:
    """Releases the lock."""
    self._write_owner('')
    self._file.close()
