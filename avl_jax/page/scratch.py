"""A temporary folder that does not outlive its process for long."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

_PREFIX = 'avl-page-tmp-'
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def folder() -> Iterator[pathlib.Path]:
  """Context with a folder; those of processes that were killed are deleted.

  The operating system keeps its lock as long as the process lives.
  """
  _delete_leftovers()
  with tempfile.TemporaryDirectory(prefix=_PREFIX) as name, _locked(name):
    yield pathlib.Path(name)


def _delete_leftovers() -> None:
  """Deletes this user's folders of the name that no process has locked."""
  for path in pathlib.Path(tempfile.gettempdir()).glob(f'{_PREFIX}*'):
    # It may be another user's, in use, or just deleted.
    with contextlib.suppress(OSError), _locked(path):
      if path.lstat().st_uid == os.getuid():
        shutil.rmtree(path)


@contextlib.contextmanager
def _locked(path: str | os.PathLike) -> Iterator[None]:
  """Context with the lock of a folder; OSError if another process has it."""
  descriptor = os.open(path, _OPEN)
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    yield
  finally:
    os.close(descriptor)
