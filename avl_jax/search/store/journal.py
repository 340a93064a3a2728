"""Committed lines of JSON: a journal, and a HEAD that is written last.

    HEAD             {"journal": NAME, "bytes": N, "sha256": of these N bytes}
                     SHA-256 of the first line
    journal-1.jsonl  one change a line

A commit appends a line, waits until it is on the disk, and then replaces HEAD.
A reader reads as many bytes as HEAD says, so it sees whole commits only, at
every moment, and needs no permission to write. The checksums cover every byte
that counts: a changed or lost line is noticed, and so is a changed HEAD.
"""

import hashlib
import json
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

from avl_jax import files
from avl_jax.checkpoints import manifest
from avl_jax.errors import UserError
from avl_jax.search.store import entries

HEAD = 'HEAD'
_NAME = re.compile(r'journal-([1-9]\d*)\.jsonl')
_BEGINNING = b'{"format": '  # of the first line of a journal


class DamageError(UserError):
  """A file of an index is not as it was written."""

  def __init__(self, path: pathlib.Path, what: str):
    super().__init__(
      f'The index is damaged: {path} {what}. Bring {path.parent} back from a '
      'copy, or make the index anew with --mode=index and '
      '--config.search.rebuild=True; what has been extracted is used again.'
    )


def is_begun(path: pathlib.Path) -> bool:
  """Whether a file is one that `replace` leaves if it is interrupted."""
  if path.name == f'{HEAD}.tmp':
    return True
  if not _NAME.fullmatch(path.name) or not path.is_file():
    return False
  with path.open('rb') as file:
    begun = file.read(len(_BEGINNING))
  return _BEGINNING.startswith(begun)


def _journals(folder: pathlib.Path) -> dict[pathlib.Path, int]:
  """Path of each journal of a folder -> its number."""
  found = {path: _NAME.fullmatch(path.name) for path in folder.iterdir()}
  return {path: int(match[1]) for path, match in found.items() if match}


def read(folder: pathlib.Path) -> tuple[bytes, list[dict[str, Any]]]:
  """Reads what is committed.

  Returns:
    HEAD, to notice later commits, and the lines.

  Raises:
    UserError: the folder holds no journal.
    DamageError: a file is damaged or missing.
  """
  for _ in range(100):  # A writer may replace the journal between two reads.
    head = read_head(folder)
    try:
      return head, _lines(folder, head)
    except DamageError:
      if read_head(folder) == head:
        raise
  raise UserError(
    f'{folder} was rewritten during each of 100 reads. Wait until indexing has '
    'finished, then ask again.'
  )


def read_head(folder: pathlib.Path) -> bytes:
  """The bytes of HEAD. Raises UserError if there are none."""
  try:
    return (folder / HEAD).read_bytes()
  except FileNotFoundError as error:
    # Without vectors its creation was interrupted.
    if entries.shards(folder):
      raise DamageError(folder / HEAD, 'is missing') from error
    raise UserError(
      f'{folder} holds no index. Make one with --mode=index, or name another '
      'folder.'
    ) from error
  except OSError as error:
    raise UserError(
      f'{folder / HEAD} cannot be read: {error.strerror}. Name the folder of '
      'an index.'
    ) from error


def _parse(folder: pathlib.Path, head: bytes) -> tuple[pathlib.Path, int, str]:
  """(path of the journal, bytes, SHA-256)."""
  try:
    value = json.loads(head.splitlines()[0])
    name, size, digest = value['journal'], value['bytes'], value['sha256']
    if _head(name, size, digest) != head:
      raise ValueError('The second line is not the checksum of the first.')
    return files.inside(folder, name), size, digest
  except (ValueError, LookupError, TypeError) as error:
    raise DamageError(folder / HEAD, 'has changed') from error


def _head(name: str, size: int, digest: str) -> bytes:
  """The content of HEAD: a line, and the checksum of the line."""
  value = {'journal': name, 'bytes': size, 'sha256': digest}
  line = json.dumps(value).encode() + b'\n'
  return line + hashlib.sha256(line).hexdigest().encode() + b'\n'


def _committed(folder: pathlib.Path, head: bytes) -> tuple[pathlib.Path, bytes]:
  """The journal's path and its verified bytes."""
  path, size, digest = _parse(folder, head)
  try:
    content = path.read_bytes()[:size]
  except OSError as error:
    what = f'is missing or cannot be read ({error.strerror})'
    raise DamageError(path, what) from error
  if len(content) < size:
    raise DamageError(path, f'has {len(content)} bytes of {size}')
  if hashlib.sha256(content).hexdigest() != digest:
    raise DamageError(path, 'has changed since it was written')
  return path, content


def _lines(folder: pathlib.Path, head: bytes) -> list[dict[str, Any]]:
  return [json.loads(line) for line in _committed(folder, head)[1].splitlines()]


class Journal:
  """The writer's side. The caller holds the lock of the folder.

  Attributes:
    lines: number of committed lines.
  """

  def __init__(self, folder: pathlib.Path):
    """Opens a journal that `replace` has begun, and drops what is uncommitted.

    Raises:
      UserError, DamageError: as `read`.
    """
    self._folder = folder
    self._path, content = _committed(folder, read_head(folder))
    self._size = len(content)
    self.lines = content.count(b'\n')
    self._hash = hashlib.sha256(content)
    with files.writing(self._path):
      os.truncate(self._path, self._size)
    for path in _journals(folder):
      if path.name != self._path.name and is_begun(path):
        path.unlink()

  def commit(self, *lines: dict[str, Any]) -> None:
    """Appends lines; all or none of them are there after a crash.

    Raises:
      UserError: the disk is full or broken. Open the journal again: HEAD says
        what counts.
    """
    text = _text(lines)
    digest = self._hash.copy()
    digest.update(text)
    with files.writing(self._path), self._path.open('r+b') as file:
      file.seek(self._size)
      file.write(text)
      file.flush()
      os.fsync(file.fileno())
    _write_head(self._path, self._size + len(text), digest.hexdigest())
    self._hash, self._size = digest, self._size + len(text)
    self.lines += len(lines)


def replace(
  folder: pathlib.Path,
  *lines: dict[str, Any],
  before: Callable[[], object] = lambda: None,
) -> None:
  """Begins a new journal with these lines; an earlier one is left out.

  Args:
    folder: of the index.
    *lines: of the journal.
    before: called when all is on the disk, just before HEAD is renamed.

  Raises:
    UserError: the disk is full or broken. HEAD says which journal counts.
  """
  number = max(_journals(folder).values(), default=0) + 1
  path = folder / f'journal-{number}.jsonl'
  text = _text(lines)
  with files.writing(path), path.open('xb') as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  _write_head(path, len(text), hashlib.sha256(text).hexdigest(), before)


def _text(lines: tuple[dict[str, Any], ...]) -> bytes:
  return b''.join(
    json.dumps(line, allow_nan=False).encode() + b'\n' for line in lines
  )


def _write_head(
  path: pathlib.Path,
  size: int,
  digest: str,
  before: Callable[[], object] = lambda: None,
) -> None:
  """The commit: HEAD is written beside, synced, and renamed."""
  head = path.with_name(HEAD)
  temporary = path.with_name(f'{HEAD}.tmp')
  with files.writing(head):
    with temporary.open('wb') as file:
      file.write(_head(path.name, size, digest))
      file.flush()
      os.fsync(file.fileno())
    before()
    os.replace(temporary, head)
    manifest.sync(head.parent)
