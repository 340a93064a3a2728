"""Progress of indexing, as a file beside the index.

The process that indexes replaces the file atomically, at most once a second,
and deletes it at its end. One that was killed leaves it behind; so the file
names its process, which is looked for.
"""

import json
import os
import pathlib
import socket
import time
from typing import Any

from avl_jax.errors import UserError
from avl_jax.files import write_atomically

FILE = 'progress.json'  # of an index
_PAUSE = 1.0  # seconds between two writings
_LATEST = 3600.0  # seconds after which a file is of a process long gone


class Published:
  """Writes how far an indexing is; a context manager."""

  def __init__(self, folder: pathlib.Path, total: int, done: int):
    """Begins.

    Args:
      folder: of the index.
      total: number of files.
      done: files that need no work.
    """
    self._path = folder / FILE
    self._total, self._known, self._done = total, done, done
    self._failures, self._began = 0, time.time()
    self._written = 0.0

  def __enter__(self) -> 'Published':
    self._write()
    return self

  def __exit__(self, *_) -> None:
    self._path.unlink(missing_ok=True)

  def add(self, failed: bool) -> None:
    """Adds a file that is done."""
    self._done += 1
    self._failures += failed
    if time.time() >= self._written + _PAUSE:
      self._write()

  def _write(self) -> None:
    self._written = time.time()
    new = self._done - self._known
    left = None
    if new:
      elapsed = self._written - self._began
      left = elapsed / new * (self._total - self._done)
    values = {
      'done': self._done,
      'total': self._total,
      'seconds_left': left,
      'failures': self._failures,
      'process': os.getpid(),
      'host': socket.gethostname(),
    }
    try:
      write_atomically(self._path, json.dumps(values))
    except UserError:  # It only informs people; indexing continues.
      return


def read(*folders: pathlib.Path) -> dict[str, Any] | None:
  """How far an indexing is; None: none runs.

  Args:
    *folders: in which an index may be made.

  Returns:
    'done' and 'total' files, 'seconds_left' (None: not known yet) and
    'failures', files of this indexing that cannot be used.
  """
  for path in [folder / FILE for folder in folders]:
    try:
      values = json.loads(path.read_bytes())
      age = time.time() - path.stat().st_mtime
      if age < _LATEST and _runs(values['process'], values['host']):
        keys = ('done', 'total', 'seconds_left', 'failures')
        return {key: values[key] for key in keys}
    except (OSError, KeyError, TypeError, ValueError):
      continue
  return None


def _runs(process: int, host: str) -> bool:
  """Whether a process runs, as far as can be told from this host."""
  if host != socket.gethostname():
    return True
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  except PermissionError:  # It is another user's.
    return True
  return True
