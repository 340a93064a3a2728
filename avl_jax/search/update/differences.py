"""Lists files that are new, changed, moved or gone, by their content."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Sequence

import tqdm

from avl_jax.errors import UserError
from avl_jax.extraction import media_folder
from avl_jax.features import MediaError, Status
from avl_jax.search.store.index import IndexedFile

_RECENT = 2.0  # seconds; a younger file may change within its time stamp


@dataclasses.dataclass(frozen=True)
class Found:
  """A file of the folder.

  Attributes:
    path: relative to the folder, with '/'.
    file: its path.
    content: SHA-256 of the content.
    size: bytes.
    modified: time of the last change, nanoseconds since the epoch.
    trusted: `modified`, or 0 of a file that was so young when it was read that
      it may change within its time stamp.
  """

  path: str
  file: pathlib.Path
  content: str
  size: int
  modified: int
  trusted: int

  def has_changed(self) -> bool:
    """Whether the file is no longer as it was listed, or is gone."""
    try:
      stat = self.file.stat()
    except OSError:
      return True
    return (stat.st_size, stat.st_mtime_ns) != (self.size, self.modified)


@dataclasses.dataclass(frozen=True)
class Failure:
  """A file that cannot be used: its path, its status and the reason."""

  path: str
  status: Status
  reason: str

  def __str__(self) -> str:
    return media_folder.spelled(f'{self.status}: {self.path}: {self.reason}')


@dataclasses.dataclass(frozen=True)
class Plan:
  """Changes that bring an index up to date with a folder.

  Attributes:
    new: files whose content the index does not have. One of a path that it has
      is a changed one.
    moved: (path before, file of the same content); the path is the same where
      only the time of the last change is another one.
    gone: paths whose content is no longer there.
    kept: files of the index that stay as they are.
    failures: files that cannot be opened, and duplicates.
  """

  new: Sequence[Found]
  moved: Sequence[tuple[str, Found]]
  gone: Sequence[str]
  kept: Sequence[IndexedFile]
  failures: Sequence[Failure]


def look(
  root: pathlib.Path, known: Sequence[IndexedFile]
) -> tuple[list[Found], list[Failure]]:
  """Lists the media files below a folder; reads those that may be new.

  Args:
    root: the folder.
    known: files of the index; one of the same path, size and time of the last
      change is not read.

  Raises:
    UserError: there is no such folder, or it cannot be read.
  """
  if not root.is_dir():
    raise UserError(
      f'There is no folder {root}. The index stays as it is. Expected a folder '
      'of videos, pictures and sound files. Set --config.search.media_dir.'
    )
  before = {file.path: file for file in known}
  found, failures = [], []
  paths = media_folder.paths(root, tuple(media_folder.SUFFIXES))
  for path in tqdm.tqdm(paths, 'files', mininterval=1, unit=' files'):
    try:
      found.append(_found(root, path, before.get(path.replace(os.sep, '/'))))
    except MediaError as error:
      failures.append(Failure(path, error.reason, str(error)))
    except FileNotFoundError:
      failures.append(Failure(path, Status.MISSING, 'It has gone meanwhile.'))
    except OSError as error:
      failures.append(Failure(path, Status.UNREADABLE, f'{error.strerror}.'))
  return found, failures


def _found(root: pathlib.Path, path: str, known: IndexedFile | None) -> Found:
  file = media_folder.find(root, path)
  stat = file.stat()
  is_old = stat.st_mtime < time.time() - _RECENT
  facts = (stat.st_size, stat.st_mtime_ns)
  if known and (known.size, known.modified) == facts:
    content = known.content
  else:
    content = media_folder.digest(file)
  return Found(
    path.replace(os.sep, '/'), file, content, *facts, facts[1] if is_old else 0
  )


def plan(
  known: Sequence[IndexedFile],
  found: Sequence[Found],
  failures: Sequence[Failure],
) -> Plan:
  """Compares the files of an index with those of a folder, by content.

  Of several files with the same content, the one that the index has is kept, or
  the first one; the others are duplicates. What the index has of a file that
  cannot be read now stays. A content under the name of another kind of media,
  such as sound that was called a picture, is another one.
  """
  before = {_facts(file): file for file in known}
  taken: dict[tuple[str, str], Found] = {}
  duplicates = []
  for file in found:
    if (old := before.get(_facts(file))) and old.path == file.path:
      taken[_facts(file)] = file
  for file in found:
    first = taken.setdefault(_facts(file), file)
    if first is not file:
      duplicates.append(
        Failure(
          file.path, Status.DUPLICATE, f'The same content as {first.path}.'
        )
      )
  new, moved, kept = [], [], []
  for facts, file in taken.items():
    if (old := before.get(facts)) is None:
      new.append(file)
    elif (old.path, old.modified) == (file.path, file.trusted):
      kept.append(old)
    else:
      moved.append((old.path, file))
  missing = [file for file in known if _facts(file) not in taken]
  unread = {f.path for f in failures if f.status == Status.UNREADABLE}
  return Plan(
    new=new,
    moved=moved,
    gone=[file.path for file in missing if file.path not in unread],
    kept=[*kept, *(file for file in missing if file.path in unread)],
    failures=[*failures, *duplicates],
  )


def _facts(file: Found | IndexedFile) -> tuple[str, str]:
  """What is extracted depends on: the content, and the kind by the suffix."""
  return file.content, media_folder.kind(file.path)
