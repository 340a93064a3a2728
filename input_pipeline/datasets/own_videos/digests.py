"""Digests of files' contents, remembered while a file does not change."""

import hashlib
import json
import os
import pathlib
import time

from avl_jax.files import write_atomically

_RECENT = 2.0  # seconds; a younger file may change within its time stamp
_SAVE_EVERY = 60.0  # seconds


class Digests:
  """SHA-256 of files; reads a file again if its size or time has changed.

  Example:
    digests = Digests(cache / 'digests.json')
    digest = digests(path)
    digests.save()
  """

  def __init__(self, path: pathlib.Path):
    """Reads the remembered digests; {} if there are none that can be read."""
    self._path = path
    try:
      self._known = dict(json.loads(path.read_bytes()))
    except (OSError, TypeError, ValueError):
      self._known = {}
    self._is_changed, self._saved = False, time.monotonic()

  def __call__(self, path: pathlib.Path) -> str:
    """Returns the digest of a file's content, hexadecimal.

    Raises:
      OSError: the file cannot be read.
    """
    name, stat = os.fspath(path), path.stat()
    facts = [stat.st_size, stat.st_mtime_ns]
    known = self._known.get(name)
    if isinstance(known, list) and known[:2] == facts:
      return known[2]
    with path.open('rb') as file:
      digest = hashlib.file_digest(file, 'sha256').hexdigest()
    if stat.st_mtime < time.time() - _RECENT:
      self._known[name] = [*facts, digest]
      self._is_changed = True
      if time.monotonic() - self._saved > _SAVE_EVERY:
        self.save()
    return digest

  def save(self) -> None:
    """Writes what has been added.

    Raises:
      UserError: it cannot be written.
    """
    if self._is_changed:  # Names that are not UTF-8 are escaped in JSON.
      write_atomically(self._path, json.dumps(self._known, indent=0) + '\n')
      self._is_changed, self._saved = False, time.monotonic()
