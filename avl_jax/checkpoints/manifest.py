"""Manifest of a folder: the SHA-256 of each file, written last.

The manifest has the format of `sha256sum`, so a folder can also be checked by
hand: `cd FOLDER && sha256sum --check MANIFEST.sha256`.
"""

import concurrent.futures
import hashlib
import os
import pathlib

NAME = 'MANIFEST.sha256'


def write(folder: pathlib.Path) -> None:
  """Writes the manifest of a folder after syncing all its files to the disk.

  Args:
    folder: with files at any depth.

  Raises:
    OSError: the disk is full or broken.
  """
  text = _text(_digests(folder))
  for path in folder.rglob('*'):
    sync(path)
  with (folder / NAME).open('w') as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  sync(folder)


def find_damage(folder: pathlib.Path) -> str:
  """Finds the first difference from the manifest; '' if there is none.

  Every byte is read. Changed, truncated, missing and new files are found, and
  so is a changed manifest.

  Returns:
    A part of a sentence, such as 'variables/d is missing'.
  """
  try:
    written = (folder / NAME).read_bytes()
  except OSError:
    return f'{NAME} is missing or cannot be read'
  try:
    found = _digests(folder)
  except OSError as error:
    return f'{error.filename} cannot be read: {error.strerror}'
  if written == _text(found).encode():
    return ''
  lines = written.decode(errors='replace').splitlines()
  expected = {line[66:]: line[:64] for line in lines}
  for name in sorted(expected.keys() | found.keys()):
    if name not in found:
      return f'{name} is missing'
    if expected.get(name) != found[name]:
      return f'{name} has changed since it was written'
  return f'{NAME} has changed since it was written'


def set_aside(folder: pathlib.Path) -> pathlib.Path:
  """Renames a damaged folder to NAME.damaged, NAME.damaged2, ...

  Returns:
    The new path.
  """
  names = (
    folder.with_name(f'{folder.name}.damaged{i}') for i in ('', *range(2, 99))
  )
  return folder.rename(next(name for name in names if not name.exists()))


def _digests(folder: pathlib.Path) -> dict[str, str]:
  """Name of each file below a folder -> SHA-256 in hexadecimal digits."""
  names = sorted(
    str(path.relative_to(folder))
    for path in folder.rglob('*')
    if path.is_file() and path != folder / NAME
  )
  # Hashing releases the GIL.
  with concurrent.futures.ThreadPoolExecutor() as pool:
    return dict(
      zip(names, pool.map(lambda n: _digest(folder / n), names), strict=True)
    )


def _digest(path: pathlib.Path) -> str:
  with path.open('rb', buffering=0) as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _text(digests: dict[str, str]) -> str:
  return ''.join(f'{digest}  {name}\n' for name, digest in digests.items())


def sync(path: pathlib.Path) -> None:
  """Waits until a file or a folder's list of entries is on the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
