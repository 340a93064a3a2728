"""Contents of an index, replayed from its journal: files and their rows."""

import bisect
import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from avl_jax.errors import UserError
from avl_jax.search.store.entries import Description, Entry, IndexedFile

FORMAT = 1  # Of the journal and the shards.


@dataclasses.dataclass(frozen=True)
class Contents:
  """The files of an index at one moment.

  Attributes:
    description: what the vectors are.
    entries: path -> file, windows and rows.
    next: first row that was never used.
    tail: first row of the shard that is being filled.
  """

  description: Description
  entries: dict[str, Entry]
  next: int
  tail: int

  @classmethod
  def begin(cls, line: dict[str, Any]) -> 'Contents':
    """The contents of the first line of a journal.

    Raises:
      UserError: a later version has written it.
    """
    if line['format'] != FORMAT:
      raise UserError(
        f'The index has format {line["format"]}; this version reads format '
        f'{FORMAT}. Install a later version, or make the index again.'
      )
    description = Description.from_json(line['description'])
    return cls(description, {}, line['next'], line['tail'])

  def first_line(self) -> dict[str, Any]:
    """The line that `begin` reads."""
    return {
      'format': FORMAT,
      'description': dataclasses.asdict(self.description),
      'next': self.next,
      'tail': self.tail,
    }

  def after(self, lines: Iterable[dict[str, Any]]) -> 'Contents':
    """The contents after some changes: 'add', 'move' and 'drop'."""
    entries, row, tail = dict(self.entries), self.next, self.tail
    for line in lines:
      if 'add' in line:
        entry = Entry.from_json(line['add'])
        entries[entry.file.path] = entry
        row, tail = max(row, entry.end), max(tail, entry.shard)
      elif 'move' in line:
        file = IndexedFile.from_json(line['move'])
        entry = entries.pop(line['from'])
        entries[file.path] = dataclasses.replace(entry, file=file)
      else:
        del entries[line['drop']]
    return Contents(self.description, entries, row, tail)

  @functools.cached_property
  def by_row(self) -> list[Entry]:
    """The files that have windows, by row."""
    entries = (entry for entry in self.entries.values() if len(entry.windows))
    return sorted(entries, key=lambda entry: entry.row)

  @functools.cached_property
  def _starts(self) -> list[int]:
    return [entry.row for entry in self.by_row]

  @functools.cached_property
  def extents(self) -> dict[int, int]:
    """First row of each shard in use -> the row after its last one in use."""
    return {entry.shard: entry.end for entry in self.by_row}

  def of_row(self, row: int) -> Entry:
    """The file of a row. Raises KeyError if there is none (any more)."""
    place = bisect.bisect_right(self._starts, row) - 1
    if place < 0 or row >= self.by_row[place].end:
      raise KeyError(f'The index has no row {row}.')
    return self.by_row[place]

  def place(self, limit: int, but: int | None = None) -> tuple[int, int]:
    """Finds the rows for the next file.

    Args:
      limit: rows after which a shard gets no more files.
      but: a shard that gets no more either.

    Returns:
      The row of its first window, and the first row of its shard.
    """
    goes_on = self.tail in self.extents and self.tail != but
    if goes_on and self.next - self.tail < limit:
      return self.next, self.tail
    return self.next, self.next


def masks(name: str, entries: Sequence[Entry]) -> dict[int, np.ndarray]:
  """First row of a shard -> bool, whether each of its rows counts.

  Args:
    name: of the vectors.
    entries: the files whose rows count, by row.
  """
  ends = {entry.shard: entry.end for entry in entries}
  found = {shard: np.zeros(end - shard, bool) for shard, end in ends.items()}
  for entry in entries:
    place = slice(entry.row - entry.shard, entry.end - entry.shard)
    found[entry.shard][place] = entry.present[name]
  return found
