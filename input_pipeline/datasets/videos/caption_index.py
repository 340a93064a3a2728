"""An index on disk of a large file of captions: one SQLite file.

A row holds the captions of a video. The index is made once, and again when the
size or the time of the file of captions has changed.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import numpy as np
import tqdm

from avl_jax import logs, torch_files
from avl_jax.errors import UserError
from avl_jax.files import writing
from avl_jax.torch_files import pickles
from input_pipeline.datasets import json_items, parsing
from input_pipeline.datasets.videos import caption_lists
from input_pipeline.datasets.videos.caption_lists import CaptionList

VERSION = 1  # of the rows
# Bytes of rows for each byte of the file, at most: times can become four times
# as long, escaped texts three times. Only captions that many videos share, held
# once by the file, can take more.
LARGEST_GROWTH = 32
_Columns = tuple[bytes, bytes, str] | tuple[None, None, None]


class CaptionIndex:
  """Captions by video.

  Attributes:
    path: of the index.
    is_empty: whether the file of captions names no video.
  """

  def __init__(self, source: pathlib.Path, folder: pathlib.Path):
    """Opens the index of a file; makes it if it is missing or out of date.

    Args:
      source: `caption.pickle` or `caption.json`.
      folder: of indices; created if it is missing.

    Raises:
      AnnotationError, ReleaseError: the file is malformed.
      UserError: the index cannot be written.
    """
    stat = source.stat()
    facts = (VERSION, stat.st_size, stat.st_mtime_ns)
    place = hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:16]
    self.path = folder / f'{source.name}-{place}.sqlite'
    count = _count(self.path, facts)
    if count is None:
      with _lock(self.path):
        # Another process may have made it meanwhile.
        count = _count(self.path, facts)
        if count is None:
          count = _make(source, self.path, facts)
    self.is_empty = not count

  def find(self, video: str) -> CaptionList | None:
    """Returns the captions of a video, of which there may be none.

    Args:
      video: its id.

    Returns:
      None if its captions are malformed.

    Raises:
      UserError: the index is damaged.
    """
    query = 'SELECT starts, ends, texts FROM captions WHERE video = ?'
    key = video.encode('utf-8', 'surrogatepass')
    try:
      with _open(self.path) as database:
        # If a file names a video twice, the last one counts.
        rows = database.execute(f'{query} ORDER BY rowid DESC LIMIT 1', [key])
        row = rows.fetchone()
    except sqlite3.Error as error:
      raise UserError(
        f'{self.path} cannot be read: {error}. Delete it, then run the same '
        'command again.'
      ) from error
    if row is None:
      return caption_lists.NONE
    starts, ends, texts = row
    if texts is None:
      return None
    starts, ends = (np.frombuffer(content, '<f8') for content in (starts, ends))
    return CaptionList(starts, ends, json.loads(texts))


def _open(path: pathlib.Path) -> contextlib.closing[sqlite3.Connection]:
  """Opens an index, which nobody changes, without locks on it."""
  uri = f'{path.resolve().as_uri()}?mode=ro&immutable=1'
  return contextlib.closing(sqlite3.connect(uri, uri=True))


def _count(path: pathlib.Path, facts: tuple[int, ...]) -> int | None:
  """Number of rows of an index; None: it is missing, old or damaged."""
  if not path.is_file():
    return None
  try:
    with _open(path) as database:
      *found, count = database.execute('SELECT * FROM source').fetchone()
  except (sqlite3.Error, TypeError):
    return None
  return count if tuple(found) == facts else None


@contextlib.contextmanager
def _lock(path: pathlib.Path) -> Iterator[None]:
  """Lets one process at a time make an index; others wait."""
  with contextlib.ExitStack() as stack:
    with writing(path):
      path.parent.mkdir(parents=True, exist_ok=True)
      file = stack.enter_context(path.with_name(f'{path.name}.lock').open('wb'))
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError:
        logs.write(f'Waiting for another process that makes {path}.')
        fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _make(
  source: pathlib.Path, path: pathlib.Path, facts: tuple[int, ...]
) -> int:
  """Makes an index; returns the number of its rows."""
  temporary = path.with_name(f'{path.name}.tmp')
  logs.write(
    f'Reading all of {source} once. {path} then holds the captions of each '
    'video. Delete it once preparation has finished.'
  )
  try:
    with writing(path):
      temporary.unlink(missing_ok=True)  # of a process that was killed
      count = _write(source, temporary, facts)
      with temporary.open('rb+') as file:
        os.fsync(file)
      os.replace(temporary, path)
  except sqlite3.Error as error:
    raise UserError(
      f'{path} cannot be written: {error}. Free disk space or choose another '
      'data_dir, then run the same command again.'
    ) from error
  finally:
    temporary.unlink(missing_ok=True)
  return count


def _write(
  source: pathlib.Path, path: pathlib.Path, facts: tuple[int, ...]
) -> int:
  """Writes the table of captions, its index and its source."""
  with contextlib.closing(sqlite3.connect(path)) as database:
    # A file that is not complete is thrown away.
    database.execute('PRAGMA journal_mode = OFF')
    database.execute('PRAGMA synchronous = OFF')
    database.execute(
      'CREATE TABLE captions (video BLOB, starts BLOB, ends BLOB, texts TEXT)'
    )
    cursor = database.executemany(
      'INSERT INTO captions VALUES (?, ?, ?, ?)', _rows(source)
    )
    count = max(cursor.rowcount, 0)  # -1 if there are no rows
    database.execute('CREATE INDEX videos ON captions (video)')
    database.execute('CREATE TABLE source (version, size, time, count)')
    database.execute('INSERT INTO source VALUES (?, ?, ?, ?)', (*facts, count))
    database.commit()
  return count


def _rows(source: pathlib.Path) -> Iterator[tuple]:
  """Yields a row for each video of a file of captions, with a bar."""
  is_json = source.suffix == '.json'
  passes = 1 if is_json else pickles.PASSES
  read = json_items.json_items if is_json else torch_files.pickled_items
  size, written = source.stat().st_size, 0
  with tqdm.tqdm(
    desc=source.name,
    total=passes * size,
    unit='B',
    unit_scale=True,
    mininterval=1,
  ) as bar:
    for video, value in read(source, bar.update):
      columns = _columns(value)
      written += sum(map(len, filter(None, columns))) or _length(value)
      if written > LARGEST_GROWTH * (size + 2**15):
        raise parsing.AnnotationError(
          f'{source}: The same captions are repeated again and again. Expected '
          'captions of each video.'
        )
      # Videos have names.
      if isinstance(video, str):
        yield video.encode('utf-8', 'surrogatepass'), *columns


def _columns(value: Any) -> _Columns:
  """Starts, ends and texts of a row, as SQLite stores them."""
  found = caption_lists.parse(value)
  if found is None:
    return None, None, None
  starts, ends = (each.astype('<f8').tobytes() for each in found[:2])
  return starts, ends, json.dumps(found.texts)


def _length(value: Any) -> int:
  """Number of captions, usable or not."""
  try:
    return len(value['text'])
  except (LookupError, TypeError):
    return 0
