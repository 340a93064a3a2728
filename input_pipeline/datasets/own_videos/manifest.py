"""Lists videos or clips: from a folder, or from a manifest.

A manifest is a table, UTF-8 with commas, with a header. Columns:

  id        of the video or clip; unique
  path      of the file, below the folder of the manifest (or FOLDER in
            MANIFEST.csv:FOLDER)
  start     seconds; with `end`, each line is a clip of its video
  end       seconds
  caption   what is said or seen in it
  language  code, such as fr
  split     train, val or test; empty: by the content, see `splits`
  date      YYYY, YYYY-MM or YYYY-MM-DD, for `availability.csv`

`id` and `path` are required. A column of another name is an error.
"""

import dataclasses
import math
import pathlib
import re

from avl_jax.extraction import media_folder
from avl_jax.extraction.media_folder import spelled
from input_pipeline.datasets import parsing
from input_pipeline.datasets.own_videos import splits
from input_pipeline.datasets.parsing import AnnotationError

REQUIRED = ('id', 'path')
OPTIONAL = ('start', 'end', 'caption', 'language', 'split', 'date')
CAPTIONS = 'captions.csv'  # beside the manifest, or in the folder
_DATE = re.compile(r'\d{4}(-\d\d(-\d\d)?)?')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Item:
  """A line of a manifest, or a file of a folder.

  Attributes:
    id: of the record; of a file, its path with the suffix.
    path: below the folder, as it is listed.
    start: seconds.
    end: seconds; infinite: the whole video.
    caption: '' if there is none.
    language: code; '': unknown.
    split: 'train', 'val' or 'test'; '': by the content.
    date: of the manifest; '': unknown.
  """

  id: str
  path: str
  start: float = 0.0
  end: float = math.inf
  caption: str = ''
  language: str = ''
  split: str = ''
  date: str = ''

  @property
  def is_clip(self) -> bool:
    """Whether the item is a piece of a video."""
    return self.end < math.inf


def list_folder(root: pathlib.Path) -> list[Item]:
  """Lists the files below a folder whose suffix is a video's, in order.

  Names that begin with a dot are left out. Links to folders are listed, so that
  the table of files says that they are not followed.

  Raises:
    MediaError: a folder cannot be read.
  """
  # The suffix is in the id, so that a.mp4 and a.mkv are two videos.
  return [
    Item(id=spelled(path), path=path)
    for path in media_folder.paths(root, (media_folder.VIDEO,))
  ]


def read_manifest(path: pathlib.Path) -> list[Item]:
  """Reads a manifest; see the module.

  Raises:
    AnnotationError: the table is malformed; the message has the line's number.
  """
  items: list[Item] = []
  lines: dict[str, int] = {}  # of each id, and of each path of a whole video
  for number, row in parsing.read_numbered(path, REQUIRED, OPTIONAL):
    place = f'line {number}'
    item = _item(path, place, row)
    if items and item.is_clip != items[0].is_clip:
      raise AnnotationError(
        f'{path}: {place}: Expected a start and an end in every line, or in '
        'none.'
      )
    for name in (item.id, *([] if item.is_clip else [f'path {item.path}'])):
      if name in lines:
        raise AnnotationError(
          f'{path}: {place}: {name!r} is also in line {lines[name]}. Expected '
          'it once.'
        )
      lines[name] = number
    items.append(item)
  if not items:
    raise AnnotationError(f'{path}: Expected a line below the header.')
  return items


def _item(path: pathlib.Path, place: str, row: dict[str, str]) -> Item:
  """Checks the fields of a line."""
  for key in REQUIRED:
    if not row[key] or '\0' in row[key]:
      raise AnnotationError(f'{path}: {place}: Expected a {key}.')
  times = {
    key: parsing.parse_number(path, f'{place}: {key}', row[key])
    for key in ('start', 'end')
    if row[key]
  }
  if len(times) == 1 or (times and times['end'] <= times['start']):
    raise AnnotationError(
      f'{path}: {place}: Expected an end after the start, or neither, got '
      f'{row["start"]!r} and {row["end"]!r}.'
    )
  if row['split'] not in ('', *splits.NAMES):
    raise AnnotationError(
      f'{path}: {place}: Expected a split of {", ".join(splits.NAMES)}, or '
      f'none, got {row["split"]!r}.'
    )
  if row['date'] and not _DATE.fullmatch(row['date']):
    raise AnnotationError(
      f'{path}: {place}: Expected a date such as 2026-11-26, got '
      f'{row["date"]!r}.'
    )
  texts = {name: row[name] for name in row if name not in ('start', 'end')}
  start, end = times.get('start', 0.0), times.get('end', math.inf)
  return Item(**texts, start=start, end=end)


@dataclasses.dataclass(frozen=True)
class Caption:
  """Words that are said in a video from `start` to `end` seconds."""

  start: float
  end: float
  text: str


def read_captions(path: pathlib.Path) -> dict[str, list[Caption]]:
  """Reads id -> captions in order, from a table id,start,end,caption.

  Returns:
    {} if there is no such file.

  Raises:
    AnnotationError: the table is malformed.
  """
  captions: dict[str, list[Caption]] = {}
  if not path.is_file():
    return captions
  columns = ('id', 'start', 'end', 'caption')
  for number, row in parsing.read_numbered(path, columns):
    start, end = (
      parsing.parse_number(path, f'line {number}: {key}', row[key])
      for key in ('start', 'end')
    )
    if end <= start:
      raise AnnotationError(
        f'{path}: line {number}: Expected an end after the start, got '
        f'{start:g} and {end:g}.'
      )
    captions.setdefault(row['id'], []).append(
      Caption(start, end, row['caption'])
    )
  for found in captions.values():
    found.sort(key=lambda caption: caption.start)
  return captions
