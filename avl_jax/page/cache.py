"""A folder of files that can be made again, of which the latest stay."""

import contextlib
import os
import pathlib
import threading

from avl_jax.errors import ConfigError
from avl_jax.files import write_atomically

_OWN = 'avl-page-'  # With it begin the names of what is kept.


def make_folder(folder: pathlib.Path) -> None:
  """Makes the folder if it is missing.

  Raises:
    ConfigError: it cannot be used.
  """
  with contextlib.suppress(OSError):
    folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK | os.X_OK):
      return
  raise ConfigError(
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
    make_folder(folder)
    self._size = sum(stat.st_size for _, stat in self._files())

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
    return [(p, p.stat()) for p in self._folder.glob(f'{_OWN}*')]

  def _shrink(self, newest: pathlib.Path) -> None:
    """Makes room, a tenth more than is needed."""
    files = sorted(self._files(), key=lambda file: file[1].st_mtime_ns)
    self._size = sum(stat.st_size for _, stat in files)
    for path, stat in files:
      if self._size <= 0.9 * self._most:
        break
      if path != newest:
        path.unlink(missing_ok=True)
        self._size -= stat.st_size
