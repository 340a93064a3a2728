"""Looks for listed files: which are there, which have the same content."""

import os
import pathlib
from collections.abc import Iterable

import tqdm

from avl_jax.errors import UserError
from avl_jax.extraction import media_folder
from avl_jax.features import MediaError, Status
from input_pipeline.datasets.own_videos import manifest
from input_pipeline.datasets.own_videos.digests import Digests
from input_pipeline.datasets.own_videos.manifest import Item
from input_pipeline.datasets.own_videos.tables import Line


def read_list(media_dir: str) -> tuple[pathlib.Path, list[Item]]:
  """Lists what a folder, MANIFEST.csv or MANIFEST.csv:FOLDER names.

  Returns:
    Folder of the files, items.

  Raises:
    UserError: there is no such folder or file, it names nothing, or the
      manifest is malformed.
  """
  first, _, second = media_dir.partition(os.pathsep)
  path = pathlib.Path(first).expanduser()
  if path.suffix.lower() == '.csv' and not path.is_dir():
    root = pathlib.Path(second).expanduser() if second else path.parent
    if not path.is_file():
      raise UserError(
        f'There is no manifest {path}. Correct --config.prepare.media_dir.'
      )
    items = manifest.read_manifest(path)
  else:
    root = pathlib.Path(media_dir).expanduser()
    items = manifest.list_folder(root) if root.is_dir() else []
  if not root.is_dir():
    raise UserError(
      f'There is no folder {root}. Expected a folder of videos, a manifest '
      'MANIFEST.csv beside them, or MANIFEST.csv:FOLDER. Set '
      "--config.prepare.media_dir, or set it to '' to use the records as they "
      'are.'
    )
  if not items:
    raise UserError(
      f'There is no video in {root}. Expected files such as NAME.mp4 in it or '
      'in folders below. Set --config.prepare.media_dir to the folder of the '
      'videos. A manifest may name files of any suffix.'
    )
  return root, items


def look(
  root: pathlib.Path, items: Iterable[Item], digests: Digests, title: str
) -> list[Line]:
  """Makes a line for each item: is it there, and what is its digest?

  Of several files with the same content, the first one listed is kept. The
  others are duplicates.
  """
  lines, seen, ids = [], {}, set()
  for item in tqdm.tqdm(items, f'{title} files', mininterval=1):
    line = Line(item=item)
    lines.append(line)
    try:
      _find(root, line, digests)
    except OSError as error:
      line.set_aside(Status.UNREADABLE, f'{error.strerror}.')
    if item.id in ids:  # Of a name that is no UTF-8, spelled out.
      line.set_aside(Status.UNSAFE_NAME, 'Another file has the same id.')
    ids.add(item.id)
    if line.status == Status.OK:
      first = seen.setdefault(line.digest, item.path)
      if first != item.path:
        line.set_aside(Status.DUPLICATE, f'The same content as {first}.')
  digests.save()
  return lines


def _find(root: pathlib.Path, line: Line, digests: Digests) -> None:
  """Sets file and digest of a line, or its status and reason."""
  try:
    file = media_folder.find(root, line.item.path)
  except MediaError as error:
    line.set_aside(error.reason, str(error))
    return
  stat = file.stat()
  line.file, line.stat = file, (stat.st_size, stat.st_mtime_ns)
  line.digest = digests(file)
  if not stat.st_size:
    line.set_aside(Status.UNREADABLE, 'The file has 0 bytes.')
