"""A folder of files that can be made again, of which the latest stay."""

import contextlib
import os
import pathlib
import stat
import threading

from avl_jax.errors import ConfigError
from avl_jax.files import write_atomically

_OWN = 'avl-page-'  # With it begin the names of what is kept.


def check_folder(folder: pathlib.Path) -> None:
  """Raises ConfigError if nothing can be written there; makes nothing."""
  there = folder.absolute()
  while not os.path.lexists(there):  # It is made later.
    there = there.parent
  if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
    raise _useless(folder)


def _useless(folder: pathlib.Path) -> ConfigError:
  return ConfigError(
    f'serve.cache_dir is {str(folder)!r}, where nothing can be written. '
    'Expected a folder for pictures and clips. Set --config.serve.cache_dir.'
  )


class Cache:
  """Keeps contents by name; the ones not used for longest go first."""

  def __init__(self, folder: pathlib.Path, most: int):
    """Takes over a folder.

    Args:
      folder: made if it is missing; other files in it stay.
      most: bytes that it may hold of its own.

    Raises:
      ConfigError: the folder cannot be used.
    """
    self._folder, self._most = folder, most
    self._lock = threading.Lock()
    try:
      folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise _useless(folder) from error
    check_folder(folder)
    self._size = sum(info.st_size for _, info in self._files())

  def find(self, name: str) -> pathlib.Path | None:
    """The file of a name; None: there is none (any more)."""
    path = self._folder / f'{_OWN}{name}'
    try:
      os.utime(path)
    except OSError:
      return None
    return path

  def add(self, name: str, content: bytes) -> pathlib.Path:
    """Keeps a content; returns its file.

    Raises:
      UserError: the disk is full.
    """
    path = self._folder / f'{_OWN}{name}'
    with self._lock:
      write_atomically(path, content)
      self._size += len(content)
      if self._size > self._most:
        self._shrink(path)
    return path

  def _files(self) -> list[tuple[pathlib.Path, os.stat_result]]:
    found = []
    for path in self._folder.glob(f'{_OWN}*'):
      with contextlib.suppress(FileNotFoundError):  # Deleted meanwhile.
        info = path.lstat()
        if stat.S_ISREG(info.st_mode):
          found.append((path, info))
    return found

  def _shrink(self, newest: pathlib.Path) -> None:
    """Makes room, a tenth more than is needed."""
    files = sorted(self._files(), key=lambda file: file[1].st_mtime_ns)
    self._size = sum(info.st_size for _, info in files)
    for path, info in files:
      if self._size <= 0.9 * self._most:
        break
      if path != newest:
        path.unlink(missing_ok=True)
        self._size -= info.st_size
