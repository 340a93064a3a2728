"""An index at one moment, for reading: its files, windows, vectors, answers."""

import functools
import os
import pathlib
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from avl_jax.errors import ConfigError, UserError
from avl_jax.search.store import contents, journal, scoring, shards
from avl_jax.search.store.contents import Contents
from avl_jax.search.store.entries import Description, Entry, IndexedFile, Window

# Scored at a time: BLAS' threads wait for each other at the end of a product.
ROWS = 1 << 16


class Snapshot:
  """What was committed when it was read. `refresh` reads what came since.

  Attributes:
    folder: of the index.
  """

  def __init__(self, folder: str | os.PathLike):
    """Reads what is committed and maps the vectors.

    Raises:
      UserError: there is no index; DamageError: it is damaged.
    """
    self.folder = pathlib.Path(folder)
    self._load()

  def _load(self) -> None:
    while True:  # A writer may delete an emptied shard meanwhile.
      head, (first, *lines) = journal.read(self.folder)
      try:
        self._show(Contents.begin(first).after(lines))
      except journal.DamageError:
        if journal.read_head(self.folder) == head:
          raise
      else:
        self._head = head
        return

  def _show(self, contents: Contents) -> None:
    """Maps the vectors of contents, and makes them those of the index."""
    description = contents.description
    self._mapped = {
      (name, shard): shards.map_rows(
        shards.path_of(self.folder, name, shard, description.dtype),
        end - shard,
        description.dim,
      )
      for shard, end in contents.extents.items()
      for name in description.names
    }
    self._contents = contents
    self._masks: dict[str, dict[int, np.ndarray]] = {}

  def _path(self, name: str, shard: int) -> pathlib.Path:
    return shards.path_of(self.folder, name, shard, self.description.dtype)

  def refresh(self) -> bool:
    """Reads what has been committed since; whether that is anything."""
    if journal.read_head(self.folder) == self._head:
      return False
    self._load()
    return True

  @property
  def description(self) -> Description:
    """What the vectors are."""
    return self._contents.description

  def files(self) -> list[IndexedFile]:
    """All files, by path."""
    entries = self._contents.entries
    return [entries[path].file for path in sorted(entries)]

  @property
  def count(self) -> int:
    """Number of windows."""
    return sum(len(entry.windows) for entry in self._contents.by_row)

  def window(self, row: int) -> Window:
    """The window of a row. Raises KeyError if no file has it (any more)."""
    entry = self._contents.of_row(row)
    start, end = entry.windows[row - entry.row].tolist()
    return Window(entry.file.path, start, end)

  def rows_of(self, path: str) -> np.ndarray:
    """Rows int64 [n] of a file's windows, in order. KeyError: no such file."""
    entry = self._contents.entries[path]
    return np.arange(entry.row, entry.end)

  def rows_with(self, name: str) -> np.ndarray:
    """Rows int64 [n], ascending, of all windows that have such a vector."""
    rows = [
      entry.row + np.flatnonzero(entry.present[name])
      for entry in self._contents.by_row
    ]
    return np.concatenate([np.empty(0, np.int64), *rows])

  def vectors(self, name: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Vectors of rows, float32 [m, D].

    Raises:
      KeyError: a row has no vector of this name.
    """
    for row in rows:
      entry = self._contents.of_row(row)
      if not entry.present[name][row - entry.row]:
        raise KeyError(f'Row {row} has no vector {name!r}.')
    return self.stored(name, np.asarray(rows, np.int64)).astype(np.float32)

  def stored(self, name: str, rows: np.ndarray) -> np.ndarray:
    """Vectors [m, D] of rows [m], in the type of the index."""
    like = self.description
    found = np.empty((len(rows), like.dim), like.dtype)
    firsts = np.array(sorted(self._contents.extents), np.int64)
    places = np.searchsorted(firsts, rows, 'right') - 1
    for place in np.unique(places):
      chosen, first = places == place, int(firsts[place])
      found[chosen] = self._mapped[name, first][rows[chosen] - first]
    return found

  def search(
    self,
    name: str,
    queries: np.ndarray,
    k: int,
    among: Collection[str] | None = None,
  ) -> tuple[np.ndarray, np.ndarray]:
    """The k windows whose vectors have the largest dot products with queries.

    Args:
      name: which vectors; windows that lack them are never returned.
      queries: float32 [q, D].
      k: number of windows wanted.
      among: paths of the files to search; None: all.

    Returns:
      scores float32 [q, k], largest first, and rows int64 [q, k]; the lower row
      first where scores are equal; -inf and -1 where there are fewer windows.

    Raises:
      ConfigError: the index has no such vectors, or of another width.
      UserError: a query is not finite, or too long for finite scores; or a
        damaged vector would have been an answer.
    """
    queries = self._checked(name, queries)
    entries = self._contents.by_row
    if among is not None:
      among = set(among)
      entries = [entry for entry in entries if entry.file.path in among]
      masks = contents.masks(name, entries)
    else:
      masks = self._masks.get(name) or contents.masks(name, entries)
      self._masks[name] = masks
    try:
      return scoring.best(
        queries,
        k,
        lambda: self._blocks(name, masks),
        functools.partial(self.stored, name),
        np.dtype(self.description.dtype),
        max((entry.largest.get(name, 0.0) for entry in entries), default=0.0),
      )
    except scoring.DamagedRowError as error:
      entry = self._contents.of_row(error.row)
      raise UserError(self._damaged(name, entry)) from error

  def _checked(self, name: str, queries: np.ndarray) -> np.ndarray:
    description = self.description
    queries = np.ascontiguousarray(queries, np.float32)
    if name not in description.names:
      raise ConfigError(
        f'The index {self.folder} has no vectors {name!r}, but '
        f'{", ".join(description.names)}. Choose one of these.'
      )
    if queries.ndim != 2 or queries.shape[1] != description.dim:
      raise ConfigError(
        f'Queries have the shape {list(queries.shape)}; the index '
        f'{self.folder} expects [q, {description.dim}]. Embed them with the '
        'model of the index.'
      )
    if not (shards.norms(queries) < shards.LONGEST).all():
      raise UserError(
        f'A query vector is not finite, or has at least {shards.LONGEST:g} as '
        'length. Expected a finite embedding. Check the file and checkpoint.'
      )
    return queries

  def _blocks(
    self, name: str, masks: dict[int, np.ndarray]
  ) -> Iterator[scoring.Block]:
    for shard, mask in masks.items():
      vectors = self._mapped[name, shard]
      for start in range(0, len(mask), ROWS):
        counts = mask[start : start + ROWS]
        inside = np.flatnonzero(counts)
        if len(inside):
          low, high = start + inside[0], start + inside[-1] + 1
          yield shard + low, vectors[low:high], mask[low:high]

  def check(self) -> list[str]:
    """Reads all that counts from the disk.

    Where something is not as the snapshot says, and a writer has committed
    meanwhile, it refreshes and looks again.

    Returns:
      A line about each damage, [] if there is none.
    """
    while True:
      damage = []
      try:
        journal.read(self.folder)
      except UserError as error:
        damage.append(str(error))
      for entry in self._contents.by_row:
        damage += self.damage_of(entry.file.path)
      try:
        if not damage or not self.refresh():
          return damage
      except UserError:
        return damage

  def damage_of(self, path: str) -> Iterator[str]:
    """A line about each of a file's vectors that are not as written."""
    entry = self._contents.entries[path]
    start = (entry.row - entry.shard) * self._row_bytes
    size = len(entry.windows) * self._row_bytes
    for name, digest in entry.digests.items():
      shard = self._path(name, entry.shard)
      if shards.read_digest(shard, start, size) != digest:
        yield self._damaged(name, entry)

  def _damaged(self, name: str, entry: Entry) -> str:
    return (
      f'{self._path(name, entry.shard)} has changed since it was written, in '
      f'the vectors of {entry.file.path}. Run --mode=index again.'
    )

  @property
  def _row_bytes(self) -> int:
    return np.dtype(self.description.dtype).itemsize * self.description.dim
