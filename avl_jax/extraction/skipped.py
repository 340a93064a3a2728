"""Counts and lists the items of a data set that could not be used."""

import json
import os
import pathlib
import sys

from avl_jax import logs
from avl_jax.errors import UserError
from avl_jax.features import MediaError, Status, UnexpectedError

MANY = 20  # unexpected errors in a row that point to the program


class Skipped:
  """What became of each item, in the words of `Status`, and remarks.

  A remark is about an item that is used, or about the whole data set.

  Example:
    skipped = Skipped()
    for name in names:
      try:
        example = read(name)
      except MediaError as error:
        skipped.add_error(name, error)
        continue
      skipped.add(Status.OK, name)
    skipped.remark('no captions', 'cooking/abc.mp4')
    skipped.report('videos/own train', 41, '42 videos of the list')
    skipped.write(data_dir)
  """

  def __init__(self):
    """Starts with no item."""
    self._items: dict[Status, list[str]] = {}
    self._remarks: dict[str, set[str]] = {}
    self._unexpected = 0  # in a row

  def add(self, status: Status, item: str) -> None:
    """Adds an item; those that are used (`OK`) are not listed.

    Args:
      status: what became of it.
      item: name of the file or item and, behind a colon, what is wrong.

    Raises:
      ValueError: the status is none of `Status`.
    """
    self._unexpected = 0
    if Status(status) is not Status.OK:
      self._items.setdefault(Status(status), []).append(item)

  def add_error(self, name: str, error: MediaError) -> None:
    """Adds an item that cannot be used; warns after `MANY` surprises in a row.

    So many files with errors that nobody has foreseen are rarely all damaged.
    """
    unexpected = self._unexpected + 1
    self.add(error.reason, f'{name}: {error}')
    if isinstance(error, UnexpectedError):
      self._unexpected = unexpected
    if self._unexpected == MANY:
      logs.write(
        f'Warning: {MANY} files in a row cannot be read. The last one is '
        f'{name}: {error} If these files play elsewhere, the program may be at '
        'fault; report the last error.',
        sys.stderr,
      )

  def remark(self, text: str, item: str) -> None:
    """Adds a remark on an item that is used, or on the data set, once."""
    self._remarks.setdefault(text, set()).add(item)

  def __str__(self) -> str:
    """Number of items of each status, and the last one as an example."""
    counts = {str(status): len(names) for status, names in self._items.items()}
    if not counts:
      return str(counts)
    *_, names = self._items.values()
    return f'{counts}, for example {names[-1]}'

  def report(
    self,
    title: str,
    count: int,
    source: str,
    *,
    expected: int = 0,
    shortfall: str = '',
    remedy: str = '',
  ) -> None:
    """Prints the number of usable items of a split; remarks a shortfall.

    Args:
      title: of the data set, config and split, 'clips/youcook2 val'.
      count: usable items.
      source: all items, '3,350 clips in youcook_val_audio.pkl'.
      expected: items that the thesis had; 0: not known.
      shortfall: remark on '{count} of {expected}' if there are fewer.
      remedy: what to do if no item is usable, one or more sentences.

    Raises:
      UserError: no item is usable.
    """
    if not count:
      raise UserError(
        f'{title}: None of the {source} can be used. Skipped so far: '
        f'{str(self).rstrip(".")}. {remedy}'.rstrip()
      )
    line = f'{title}: {count:,} of {source}'
    if count < expected:
      line += f', {expected - count:,} fewer than in the thesis'
      self.remark(shortfall, f'{count:,} of {expected:,}')
    logs.write(line)

  def write(self, data_dir: str | os.PathLike) -> None:
    """Writes `skipped.json` beside the records: status -> items, and remarks.

    The key 'remarks' is always there, the words only if they have items.
    """
    table: dict[str, object] = {
      status: sorted(self._items[status])
      for status in Status
      if status in self._items
    }
    table['remarks'] = {
      text: sorted(names) for text, names in self._remarks.items()
    }
    path = pathlib.Path(data_dir) / 'skipped.json'
    text = json.dumps(table, indent=2, ensure_ascii=False) + '\n'
    # The names of files need not be UTF-8.
    path.write_bytes(text.encode('utf-8', 'backslashreplace'))
