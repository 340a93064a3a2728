"""Tables beside the records: what became of each file, and what was there.

`files.csv` has a line for each file, or for each clip of a manifest: path,
status, reason, seconds, digest, id, split. `availability.csv` has what the list
named, with its date, and whether it was there, with the digest of its content:
scores of later years can be compared on what both years had.
"""

import collections
import csv
import dataclasses
import io
import pathlib
from collections.abc import Sequence

from avl_jax.features import Status
from avl_jax.files import write_atomically
from input_pipeline.datasets.own_videos.manifest import Item, spelled

FILES, AVAILABILITY = 'files.csv', 'availability.csv'
_SHOWN = 5  # names in a message


@dataclasses.dataclass(kw_only=True)
class Line:
  """A file or clip and what became of it.

  Attributes:
    item: as it is listed.
    file: its path; None: it cannot be opened.
    digest: of the file's content; '': it was not read.
    stat: size and time of the file when it was listed.
    status: what became of it.
    reason: a sentence; '' if the status is 'ok'.
    seconds: of sound and picture; 0: unknown.
    split: of its records; '': none.
  """

  item: Item
  file: pathlib.Path | None = None
  digest: str = ''
  stat: tuple[int, int] = (0, 0)
  status: Status = Status.OK
  reason: str = ''
  seconds: float = 0.0
  split: str = ''

  def set_aside(self, status: Status, reason: str) -> None:
    """Takes the file out of the data set."""
    self.status, self.reason = status, reason


def usable(lines: Sequence[Line]) -> list[Line]:
  """The lines whose status is 'ok'."""
  return [line for line in lines if line.status == Status.OK]


def write(folder: pathlib.Path, lines: Sequence[Line]) -> bool:
  """Writes both tables, unless they are as they should be.

  Returns:
    Whether one has changed.

  Raises:
    UserError: a file cannot be written.
  """
  files = [
    {
      'path': spelled(line.item.path),
      'status': line.status,
      'reason': line.reason,
      'seconds': f'{line.seconds:.2f}' if line.seconds else '',
      'digest': line.digest,
      'id': line.item.id,
      'split': line.split,
    }
    for line in lines
  ]
  availability = [
    {
      'id': line.item.id,
      'path': spelled(line.item.path),
      'date': line.item.date,
      'available': 'yes' if line.digest else 'no',
      'status': line.status,
      'digest': line.digest,
    }
    for line in lines
  ]
  is_changed = False
  for name, rows in ((FILES, files), (AVAILABILITY, availability)):
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0]], lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    content = spelled(text.getvalue()).encode()
    path = folder / name
    if not path.is_file() or path.read_bytes() != content:
      write_atomically(path, content)
      is_changed = True
  return is_changed


def read_files(folder: pathlib.Path) -> dict[str, str]:
  """Reads path -> digest of the usable files of `files.csv`; {}: no table."""
  path = folder / FILES
  if not path.is_file():
    return {}
  with path.open(newline='', encoding='utf-8') as file:
    return {
      row['path']: row['digest']
      for row in csv.DictReader(file)
      if row['status'] == Status.OK
    }


def summary(title: str, lines: Sequence[Line]) -> str:
  """Sentences: how many items of each status, and the first that failed."""
  counts = collections.Counter(line.status for line in lines)
  parts = [f'{counts[s]:,} {s}' for s in Status if counts[s]]
  text = f'{title}: {len(lines):,} listed: {", ".join(parts)}.'
  failed = [line for line in lines if line.status != Status.OK]
  for line in failed[:_SHOWN]:
    path = spelled(line.item.path)
    text += f'\n  {line.status}: {path}: {spelled(line.reason)}'
  if len(failed) > _SHOWN:
    text += f'\n  and {len(failed) - _SHOWN:,} more'
  return text


def changes(before: dict[str, str], lines: Sequence[Line]) -> str:
  """Describes what differs from the files of earlier records; '' if nothing.

  Args:
    before: path -> digest, see `read_files`.
    lines: of this preparation.
  """
  now = {spelled(line.item.path): line.digest for line in usable(lines)}
  old, new = set(before.values()), set(now.values())
  kinds = {
    'added': [p for p, d in now.items() if d not in old and p not in before],
    'changed': [p for p, d in now.items() if d not in old and p in before],
    'moved': [p for p, d in now.items() if d in old and before.get(p) != d],
    'gone': [p for p, d in before.items() if d not in new and p not in now],
  }
  parts = []
  for kind, paths in kinds.items():
    if paths:
      names = ', '.join(paths[:_SHOWN])
      rest = ', ...' if len(paths) > _SHOWN else ''
      parts.append(f'{len(paths):,} {kind} ({names}{rest})')
  return '; '.join(parts)
