"""The files of an index as visitors see them: by id, with their facts.

An id is the beginning of the SHA-256 of a file's content, so a link to a moment
outlives a new name. Language and date are those of `manifest.csv` in the media
folder (columns `path`, `language`, `date`, as for own videos); without a date
there, it is the day on which the file was last changed.
"""

import csv
import dataclasses
import datetime
import os
import pathlib
import threading
import time
from typing import Any

from avl_jax.errors import UserError
from avl_jax.extraction import media_folder
from avl_jax.features import MissingError
from avl_jax.search import building, opening, progress
from avl_jax.search.index import IndexedFile
from avl_jax.search.snapshot import Snapshot

MANIFEST = 'manifest.csv'
_ID = 16  # hexadecimal digits of an id
_PAUSE = 1.0  # seconds after which the index is looked at again


@dataclasses.dataclass(frozen=True)
class Item:
  """A file of the index.

  Attributes:
    id: see the module.
    file: as the index has it.
    kind: 'video', 'picture' or 'sound'.
    language: code; '': unknown.
    date: 'YYYY-MM-DD', or less of it; '': unknown.
  """

  id: str
  file: IndexedFile
  kind: str
  language: str
  date: str

  @property
  def folder(self) -> str:
    """Of the file, below the media folder; '' at the top."""
    return self.file.path.rpartition('/')[0]

  @property
  def name(self) -> str:
    """Of the file, without its folder."""
    return self.file.path.rpartition('/')[2]


@dataclasses.dataclass(frozen=True)
class Filters:
  """Which files may answer; what is None is not asked for.

  Attributes:
    folder: they are in it, or below it.
    language: of the file.
    date_from: no earlier date; a month counts from its first day.
    date_to: no later date, this one included.
    seconds_from: least length.
    seconds_to: largest length.
  """

  folder: str | None = None
  language: str | None = None
  date_from: str | None = None
  date_to: str | None = None
  seconds_from: float | None = None
  seconds_to: float | None = None

  def fits(self, item: Item) -> bool:
    """Whether a file may answer."""
    folder, seconds = (self.folder or '').strip('/'), item.file.seconds
    last = self.date_to
    return (
      f'{item.folder}/'.startswith(f'{folder}/' if folder else '')
      and self.language in (None, item.language)
      and (self.date_from is None or item.date >= self.date_from)
      and (last is None or '' < item.date[: len(last)] <= last)
      and (self.seconds_from is None or seconds >= self.seconds_from)
      and (self.seconds_to is None or seconds <= self.seconds_to)
    )


class Library:
  """The files of an index, kept up to date; for any thread."""

  def __init__(self, folder: pathlib.Path, media_dir: pathlib.Path | None):
    """Reads the index.

    Args:
      folder: of the index.
      media_dir: folder of the files; None: not known.

    Raises:
      UserError: there is no index, or it is damaged.
    """
    self._index, self._media_dir = Snapshot(folder), media_dir
    self._lock, self._looked = threading.Lock(), 0.0
    self._table: tuple[float, dict[str, tuple[str, str]]] = (0.0, {})
    self._show()

  def indexing(self) -> dict[str, Any] | None:
    """How far an indexing is, see `progress.read`; None: none runs."""
    folder = self._index.folder
    return progress.read(folder, folder / opening.REBUILT)

  @property
  def media_dir(self) -> pathlib.Path | None:
    """Folder of the files; None: not known."""
    return self._media_dir or building.media_dir_of(self._index.folder)

  def refresh(self, now: bool = False) -> None:
    """Reads what has been committed, at most once a second.

    Args:
      now: also if it has just been read.

    Raises:
      UserError: the index is damaged.
    """
    with self._lock:
      if not now and time.monotonic() < self._looked + _PAUSE:
        return
      changed = self._index.refresh()
      if self._read_manifest() or changed:
        self._show()
      self._looked = time.monotonic()

  def _show(self) -> None:
    self._read_manifest()
    table = self._table[1]
    items = []
    for file in self._index.files():
      if len(self._index.rows_of(file.path)):
        language, date = table.get(file.path, ('', ''))
        items.append(
          Item(
            id=file.content[:_ID],
            file=file,
            kind=media_folder.kind(file.path),
            language=language,
            date=date or self._day(file),
          )
        )
    self.windows = self._index.count
    self.by_path = {item.file.path: item for item in items}
    self.by_id = {item.id: item for item in items}

  def _day(self, file: IndexedFile) -> str:
    modified = file.modified / 1e9
    if not modified and self.media_dir:  # It was new when it was indexed.
      try:
        modified = (self.media_dir / file.path).stat().st_mtime
      except OSError:
        return ''
    day = datetime.datetime.fromtimestamp(modified, datetime.UTC)
    return day.date().isoformat()

  def _read_manifest(self) -> bool:
    """Reads the manifest if it has changed; whether it has."""
    if not self.media_dir:
      return False
    path = self.media_dir / MANIFEST
    try:
      modified = path.stat().st_mtime
      if modified == self._table[0]:
        return False
      with path.open(encoding='utf-8-sig', newline='') as lines:
        table = {
          row['path'].replace(os.sep, '/'): (
            (row.get('language') or '').strip(),
            (row.get('date') or '').strip(),
          )
          for row in csv.DictReader(lines)
          if row.get('path')
        }
    except (OSError, ValueError, csv.Error):
      modified, table = 0.0, {}
    changed = self._table[1] != table
    self._table = modified, table
    return changed

  def find(self, id: str) -> Item:
    """The file of an id.

    Raises:
      MissingError: the index has no such file.
    """
    if item := self.by_id.get(id):
      return item
    raise MissingError(
      f'The index has no file {id!r}. It may have been taken out. Ask again.'
    )

  def path(self, item: Item) -> pathlib.Path:
    """The path of a file, which leads to nothing outside the media folder.

    Raises:
      MediaError: it is no longer there, or leads out of the folder.
    """
    if not self.media_dir:
      raise UserError(
        'The folder of the media is not known. Start the server with '
        '--config.search.media_dir=FOLDER.'
      )
    return media_folder.find(self.media_dir, item.file.path)

  def is_there(self, item: Item) -> bool:
    """Whether a file can be shown."""
    try:
      return bool(self.path(item))
    except (UserError, OSError):
      return False

  def among(self, filters: Filters) -> set[str] | None:
    """Paths of the files that may answer; None: all."""
    if filters == Filters():
      return None
    return {p for p, item in self.by_path.items() if filters.fits(item)}

  def choices(self) -> dict:
    """What filters can choose from, see the API."""
    items = list(self.by_path.values())
    folders = {item.folder for item in items} - {''}
    for folder in list(folders):
      parts = folder.split('/')
      folders |= {'/'.join(parts[:n]) for n in range(1, len(parts))}
    dates = sorted(item.date for item in items if item.date)
    seconds = sorted(i.file.seconds for i in items if i.file.seconds)
    return {
      'folders': sorted(folders),
      'languages': sorted({item.language for item in items} - {''}),
      'dates': [dates[0], dates[-1]] if dates else None,
      'seconds': [seconds[0], seconds[-1]] if seconds else None,
    }
