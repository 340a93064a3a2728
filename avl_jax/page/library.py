"""The files of an index as clients see them: by id, with their facts.

An id is the beginning of the SHA-256 of a file's content, so a link to a moment
outlives a new name. (One content may be a video and, under the suffix of
another kind, sound; the second one's id is that of content and kind.) Language
and date are those of `manifest.csv` in the media folder, see `manifest`;
without a date there, it is the day on which the file was last changed.
"""

import collections
import csv
import datetime
import hashlib
import pathlib
import threading
import time
from typing import Any, BinaryIO

from avl_jax import logs
from avl_jax.extraction import media_folder
from avl_jax.features import MediaError, MissingError
from avl_jax.page import manifest
from avl_jax.page.items import Filters, Item
from avl_jax.search.store.index import IndexedFile
from avl_jax.search.store.snapshot import Snapshot
from avl_jax.search.update import building, opening, progress

MANIFEST = 'manifest.csv'
_ID = 16  # hexadecimal digits of an id
_PAUSE = 1.0  # seconds after which the index is looked at again


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
    self._table: dict[str, tuple[str, str]] = {}  # see `manifest`
    self._manifest: Any = None  # that has been read: times and size
    self._said: Any = None  # of one that cannot be read
    self._read_manifest()
    self._show()

  def indexing(self) -> dict[str, Any] | None:
    """Progress of indexing, see `progress.read`; None: none runs."""
    folder = self._index.folder
    return progress.read(folder, folder / opening.REBUILT)

  @property
  def folder(self) -> pathlib.Path:
    """Folder of the index."""
    return self._index.folder

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
    usable = [
      f for f in self._index.files() if len(self._index.rows_of(f.path))
    ]
    counts = collections.Counter(file.content for file in usable)
    items = []
    for file in usable:
      language, date = self._table.get(file.path, ('', ''))
      items.append(
        Item(
          id=_id(file, counts[file.content] > 1),
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
    """Reads the manifest if it has changed; whether what it says has.

    One that cannot be read is tried again each time, and complained of once.
    """
    if not self.media_dir:
      return False
    path, seen, said, table = self.media_dir / MANIFEST, None, None, {}
    try:
      stat = path.stat()
      seen = stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size
      if seen == self._manifest:
        return False
      table = manifest.read(path)
    except FileNotFoundError:
      pass
    except (OSError, ValueError, csv.Error) as error:
      said, seen = (str(error), seen), None
      if said != self._said:
        logs.write(
          f'{path} cannot be read: {str(error).rstrip(".")}. Expected a table '
          'in UTF-8 with the columns path, language and date. Until then its '
          'files have no language, and the days of their last change for dates.'
        )
    changed = self._table != table
    self._table, self._manifest, self._said = table, seen, said
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
      MissingError: it is no longer there, or leads out of the folder.
    """
    if not self.media_dir:
      raise MissingError(
        'The folder of the media is not known. Expected one. Start the server '
        'with --config.search.media_dir=FOLDER.'
      )
    try:
      return media_folder.find(self.media_dir, item.file.path)
    except (MediaError, OSError) as error:
      raise _moved(item) from error

  def open(self, item: Item, path: pathlib.Path) -> BinaryIO:
    """A file of `path`, for reading.

    Raises:
      MissingError: it is no longer there.
      MediaError: it cannot be read.
    """
    try:
      return path.open('rb')
    except FileNotFoundError as error:
      raise _moved(item) from error
    except OSError as error:
      raise MediaError(
        f'{item.name} cannot be read ({error.strerror}). Tell whoever runs the '
        'server.'
      ) from error

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


def _moved(item: Item) -> MissingError:
  return MissingError(
    f'{item.name} has been moved away from the media folder. The index still '
    'knows it. Bring the index up to date (--mode=index).'
  )


def _id(file: IndexedFile, is_shared: bool) -> str:
  """Id of a file, whose content may be that of a file of another kind, too."""
  kind = media_folder.kind(file.path)
  if not is_shared or kind == media_folder.VIDEO:
    return file.content[:_ID]
  return hashlib.sha256(f'{file.content} {kind}'.encode()).hexdigest()[:_ID]
