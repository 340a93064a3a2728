"""An index on disk: files, windows and vectors, searched exactly.

    DIR/HEAD, journal-1.jsonl            files, windows, checksums: journal.py
    DIR/video.000000000000.float16, ...  vectors: shards.py
    DIR/lock                             one writer at a time

A file is added by appending its vectors, and then one line to the journal: a
crash loses at most the file in flight, readers see whole files only, and no
other file's vectors are touched. An open index is a snapshot: `refresh` shows
what a writer has committed since. A row's number stays as long as its file does
and `compact` does not move it; a number is never used again.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from avl_jax import files
from avl_jax.errors import ConfigError, UserError
from avl_jax.search import journal, shards
from avl_jax.search.contents import Contents
from avl_jax.search.entries import Description, Entry, IndexedFile, Window
from avl_jax.search.snapshot import Snapshot

__all__ = ['Description', 'Index', 'IndexedFile', 'Window']


class Index(Snapshot):
  """An open index, for reading or for writing too; a context manager."""

  def __init__(self, folder: str | os.PathLike, lock: files.Lock | None):
    """Use `create` or `open`."""
    self._lock = lock
    try:
      super().__init__(folder)
      if lock:
        self._journal = journal.Journal(self.folder)
        self._clean()
    except BaseException:
      self.close()
      raise

  @classmethod
  def create(
    cls, folder: str | os.PathLike, description: Description
  ) -> 'Index':
    """Makes an empty index and opens it for writing.

    Raises:
      ConfigError: no index can be like this.
      UserError: the folder already holds an index, or cannot be written.
      InUseError: another process writes there.
    """
    description.check()
    folder = pathlib.Path(folder)
    lock = files.Lock(folder)
    try:
      if (folder / journal.HEAD).exists():
        raise UserError(
          f'{folder} already holds an index. Open it, or delete the folder.'
        )
      journal.replace(folder, Contents(description, {}, 0, 0).first_line())
    except BaseException:
      lock.__exit__()
      raise
    return cls(folder, lock)

  @classmethod
  def open(cls, folder: str | os.PathLike, write: bool = False) -> 'Index':
    """Opens an index.

    Args:
      folder: of the index.
      write: whether to change it. One process may at a time; readers may
        always.

    Raises:
      UserError: there is no index; DamageError: it is damaged.
      InUseError: another process writes there.
    """
    folder = pathlib.Path(folder)
    journal.read_head(folder)  # No lock in a folder that holds no index.
    return cls(folder, files.Lock(folder) if write else None)

  def __enter__(self) -> 'Index':
    return self

  def __exit__(self, *_) -> None:
    self.close()

  def close(self) -> None:
    """Releases the lock of a writer."""
    if self._lock:
      self._lock.__exit__()
      self._lock = None

  def add(
    self,
    file: IndexedFile,
    windows: np.ndarray,
    vectors: Mapping[str, np.ndarray],
    present: Mapping[str, np.ndarray],
  ) -> None:
    """Adds a file; replaces what the index had of its path. Atomic.

    Args:
      file: the file.
      windows: float64 [n, 2], start and end in seconds.
      vectors: name -> float32 [n, D].
      present: name -> bool [n], whether a window has this vector.

    Raises:
      UserError: a vector cannot be held, or the disk is full: the index is as
        before.
    """
    windows = np.array(windows, np.float64).reshape(-1, 2)
    stored = {
      name: self._stored(file, name, vectors[name], present[name], len(windows))
      for name in self.description.names
    }
    row, shard = self._place()
    for name, rows in stored.items():
      self._append(name, row, shard, rows, len(windows))
    held = {name: rows for name, rows in stored.items() if rows is not None}
    entry = Entry(
      file=file,
      row=row,
      shard=shard,
      windows=windows,
      present={name: np.array(present[name], bool) for name in stored},
      digests={name: shards.digest(rows) for name, rows in held.items()},
      largest={n: float(shards.norms(rows).max()) for n, rows in held.items()},
    )
    self._commit({'add': entry.to_json()})

  def _stored(
    self,
    file: IndexedFile,
    name: str,
    vectors: np.ndarray,
    present: np.ndarray,
    count: int,
  ) -> np.ndarray | None:
    """Rows [n, D] as they are stored; None if no window has such a vector."""
    expected = (count, self.description.dim)
    if np.shape(vectors) != expected or np.shape(present) != (count,):
      raise ConfigError(
        f'The vectors {name!r} of {file.path} have the shape '
        f'{np.shape(vectors)}, {np.shape(present)} of them present. The index '
        f'expects {expected}.'
      )
    if not np.any(present):
      return None
    kept = np.where(np.asarray(present)[:, None], vectors, np.float32(0))
    return shards.stored(kept, self.description.dtype, file.path)

  def _place(self) -> tuple[int, int]:
    """The row of the next file, and the first row of its shard."""
    like, contents = self.description, self._contents
    size = np.dtype(like.dtype).itemsize * like.dim
    filled = (contents.next - contents.tail) * size
    if contents.tail in contents.extents and filled < shards.LIMIT:
      return contents.next, contents.tail
    return contents.next, contents.next

  def _append(
    self, name: str, row: int, shard: int, rows: np.ndarray | None, count: int
  ) -> None:
    like = self.description
    size = np.dtype(like.dtype).itemsize * like.dim
    start = (row - shard) * size
    path = self._path(like, name, shard)
    shards.append(path, start, rows, start + count * size)

  def move(
    self,
    content: str,
    path: str,
    *,
    old: str | None = None,
    modified: int | None = None,
  ) -> None:
    """Gives a file another path. Its vectors stay; a file there is replaced.

    Args:
      content: SHA-256 of the file.
      path: the new one; the present one, to change `modified` alone.
      old: the present path, where several files have this content.
      modified: the new time of the last change, nanoseconds since the epoch.

    Raises:
      KeyError: no file has this content.
    """
    paths = sorted(f.path for f in self.files() if f.content == content)
    if not paths or (old or paths[0]) not in paths:
      raise KeyError(f'No file has the content {content} (path: {old}).')
    file = self._contents.entries[old or paths[0]].file
    moved = dataclasses.replace(
      file, path=path, modified=file.modified if modified is None else modified
    )
    self._commit({'move': dataclasses.asdict(moved), 'from': file.path})

  def drop(self, path: str) -> None:
    """Takes a file out. Raises KeyError if it is not in the index."""
    self._commit({'drop': self._contents.entries[path].file.path})

  def _commit(self, *lines: dict[str, Any]) -> None:
    before = self._contents.extents
    self._journal.commit(*lines)
    self._show(self._contents.after(lines))
    if before.keys() - self._contents.extents:
      self._clean()

  def _clean(self) -> None:
    shards.remove_all_but(self.folder, self._contents.extents)
