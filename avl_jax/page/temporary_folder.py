"""Makes a temporary folder that does not outlive its process for long."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator

_PREFIX = 'avl-page-tmp-'
_YOUNG = 60.0  # seconds; the process of a younger folder may not have locked it
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def folder() -> Iterator[pathlib.Path]:
  """Context with a folder; those of processes that were killed are deleted.

  The operating system keeps its lock as long as the process lives. Where it has
  none for folders, as some network file systems, nobody deletes any.
  """
  _delete_leftovers()
  with (
    tempfile.TemporaryDirectory(prefix=_PREFIX) as name,
    contextlib.ExitStack() as stack,
  ):
    with contextlib.suppress(OSError):
      stack.enter_context(_locked(name))
    yield pathlib.Path(name)


def _delete_leftovers() -> None:
  """Deletes this user's old folders of the name that no process has locked."""
  for path in pathlib.Path(tempfile.gettempdir()).glob(f'{_PREFIX}*'):
    with contextlib.suppress(OSError):  # It is in use, or just deleted.
      info = path.lstat()
      is_old = time.time() > info.st_mtime + _YOUNG
      if is_old and info.st_uid == os.getuid():
        with _locked(path):
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
