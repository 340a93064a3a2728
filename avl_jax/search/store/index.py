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
from avl_jax.errors import UserError
from avl_jax.search.store import journal, shards
from avl_jax.search.store.contents import Contents
from avl_jax.search.store.entries import Description, Entry, IndexedFile, Window
from avl_jax.search.store.snapshot import Snapshot

__all__ = ['BACKGROUNDS', 'Description', 'Index', 'IndexedFile', 'Window']
BACKGROUNDS = 'asked'  # a folder of the index: what background questions score


class Index(Snapshot):
  """An open index, for reading or for writing too; a context manager."""

  def __init__(self, folder: str | os.PathLike, lock: files.Lock | None):
    """Use `create` or `open`."""
    self._lock = lock
    try:
      super().__init__(folder)
      if lock:
        self._journal = journal.Journal(self.folder)
        shards.remove_all_but(self.folder, self._contents.extents)
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
      name: shards.stored(
        np.asarray(vectors[name]),
        np.asarray(present[name], bool),
        (len(windows), self.description.dim),
        self.description.dtype,
        f'{name!r} of {file.path}',
      )
      for name in self.description.names
    }
    held = {name: rows for name, rows in stored.items() if rows is not None}
    entry = Entry(
      file=file,
      row=0,
      shard=0,
      windows=windows,
      present={name: np.array(present[name], bool) for name in stored},
      digests={name: shards.digest(rows) for name, rows in held.items()},
      largest={n: float(shards.norms(rows).max()) for n, rows in held.items()},
    )
    self._write(entry, stored)

  def _write(
    self,
    entry: Entry,
    stored: Mapping[str, np.ndarray | None],
    but: int | None = None,
  ) -> None:
    """Commits a file, its vectors behind all rows that were ever in use.

    Args:
      entry: the file, with any row and shard.
      stored: name -> vectors [n, D] as they are stored; None: there are none.
      but: a shard that they must not go to.
    """
    row, shard = self._contents.place(shards.LIMIT // self._row_bytes, but)
    start = (row - shard) * self._row_bytes
    end = start + len(entry.windows) * self._row_bytes
    paths = {self._path(name, shard): rows for name, rows in stored.items()}
    placed = dataclasses.replace(entry, row=row, shard=shard)
    try:
      if len(entry.windows):
        shards.append(paths, start, end)
      self.commit({'add': placed.to_json()})
    except UserError:
      if self._contents.next == row:  # Not committed.
        shards.cut(paths, start)
      raise

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
    self.commit({'move': dataclasses.asdict(moved), 'from': file.path})

  def drop(self, path: str) -> None:
    """Takes a file out. Raises KeyError if it is not in the index."""
    self.commit({'drop': self._contents.entries[path].file.path})

  def commit(self, *lines: dict[str, Any]) -> None:
    """Makes changes, of the form that `Contents.after` reads: all or none."""
    before = self._contents.extents
    try:
      self._journal.commit(*lines)
    except UserError:
      self._journal = journal.Journal(self.folder)
      self._load()
      raise
    self._show(self._contents.after(lines))
    if before.keys() - self._contents.extents:
      shards.remove_all_but(self.folder, self._contents.extents)

  def compact(self) -> None:
    """Gives back space: call it after many changes.

    Rewrites the shards of which over half is dead, file by file, and a long
    journal. Rows of these files change.

    Raises:
      UserError: vectors have changed since they were written, or the disk is
        full.
    """
    for shard in sorted(self._contents.extents):
      inside = [e for e in self._contents.by_row if e.shard == shard]
      path = self._path(self.description.names[0], shard)
      live = sum(len(entry.windows) for entry in inside) * self._row_bytes
      if 2 * live < path.stat().st_size:
        for entry in inside:
          self._rewrite(entry)
    if self._journal.lines > 2 * len(self._contents.entries) + 100:
      lines = [{'add': e.to_json()} for e in self._contents.entries.values()]
      try:
        journal.replace(self.folder, self._contents.first_line(), *lines)
      finally:
        self._journal = journal.Journal(self.folder)

  def _rewrite(self, entry: Entry) -> None:
    """Appends a file's vectors again, behind the others."""
    for damage in self.damage_of(entry.file.path):
      raise UserError(damage)
    first, end = entry.row - entry.shard, entry.end - entry.shard
    held = {
      name: self._mapped[name, entry.shard][first:end] for name in entry.digests
    }
    stored = {name: held.get(name) for name in self.description.names}
    self._write(entry, stored, but=entry.shard)
