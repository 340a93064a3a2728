"""A file of the index as clients see it, and filters of files."""

import dataclasses
import datetime
import re
from typing import Any

from avl_jax.search.store.index import IndexedFile

_DATE = re.compile(r'\d{4}(-\d\d(-\d\d)?)?')


def is_date(text: str) -> bool:
  """Whether a text is a day, a month or a year: 'YYYY-MM-DD' or less of it."""
  if not _DATE.fullmatch(text):
    return False
  try:
    datetime.date.fromisoformat(text + '-01' * (2 - text.count('-')))
  except ValueError:
    return False
  return True


@dataclasses.dataclass(frozen=True)
class Item:
  """A file of the index.

  Attributes:
    id: see `library`.
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

  def facts(self) -> dict[str, Any]:
    """Facts of the file in the API."""
    return {
      'file': self.id,
      'name': self.name,
      'folder': self.folder,
      'kind': self.kind,
      'duration': self.file.seconds,
      'language': self.language or None,
      'date': self.date or None,
    }

  @property
  def folder(self) -> str:
    """Folder of the file, below the media folder; '' at the top."""
    return self.file.path.rpartition('/')[0]

  @property
  def name(self) -> str:
    """Name of the file, without its folder."""
    return self.file.path.rpartition('/')[2]


@dataclasses.dataclass(frozen=True)
class Filters:
  """Conditions on the files of answers; None: no condition.

  Attributes:
    folder: contains the files, directly or below.
    language: of the file.
    date_from: least date; 2024 passes if one of its days does.
    date_to: largest date, likewise.
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
    first, last, date = self.date_from, self.date_to, item.date
    return (
      f'{item.folder}/'.startswith(f'{folder}/' if folder else '')
      and self.language in (None, item.language)
      and (first is None or '' < first[: len(date)] <= date)
      and (last is None or '' < date[: len(last)] <= last)
      and (self.seconds_from is None or seconds >= self.seconds_from)
      and (self.seconds_to is None or seconds <= self.seconds_to)
    )
