"""Lists the media files below a folder, and opens none that leads out of it."""

import hashlib
import os
import pathlib
from collections.abc import Container

from avl_jax.features import MediaError, MissingError, UnsafeNameError
from avl_jax.files import OutsideError, inside

VIDEO, PICTURE, SOUND = 'video', 'picture', 'sound'
# A file of another suffix is none of these, unless a list names it.
SUFFIXES = {
  VIDEO: (
    *('.3g2', '.3gp', '.asf', '.avi', '.divx', '.f4v', '.flv', '.m1v', '.m2ts'),
    *('.m2v', '.m4v', '.mkv', '.mov', '.mp4', '.mpe', '.mpeg', '.mpg', '.mts'),
    *('.nut', '.ogm', '.ogv', '.qt', '.rm', '.rmvb', '.ts', '.vob', '.webm'),
    '.wmv',
  ),
  PICTURE: ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp'),
  SOUND: (
    *('.aac', '.ac3', '.aif', '.aiff', '.amr', '.au', '.caf', '.eac3', '.flac'),
    *('.m4a', '.mka', '.mp2', '.mp3', '.oga', '.ogg', '.opus', '.sph', '.w64'),
    *('.wav', '.wma'),
  ),
}
_KINDS = {suffix: kind for kind, each in SUFFIXES.items() for suffix in each}


def kind(path: str | os.PathLike) -> str:
  """'video', 'picture' or 'sound', by the suffix; '': none of them."""
  return _KINDS.get(os.path.splitext(path)[1].lower(), '')


def spelled(path: str) -> str:
  """A file's name in UTF-8; bytes that are not UTF-8 are spelled out."""
  return path.encode('utf-8', 'backslashreplace').decode()


def paths(root: pathlib.Path, kinds: Container[str]) -> list[str]:
  """Paths below a folder of the files of some kinds, in order.

  Names that begin with a dot are left out. Links to folders are listed, so that
  a table of the files can say that they are not followed; see `find`.

  Raises:
    MediaError: a folder cannot be read.
  """

  def fail(error: OSError) -> None:
    raise MediaError(
      f'{error.filename} cannot be read: {error.strerror}. Change its '
      'permissions or take it out of the folder.'
    )

  found = []
  for folder, folders, files in os.walk(root, onerror=fail):
    folders[:] = [name for name in folders if not name.startswith('.')]
    files += [n for n in folders if os.path.islink(os.path.join(folder, n))]
    for name in files:
      if not name.startswith('.') and (kind(name) in kinds or name in folders):
        found.append(os.path.relpath(os.path.join(folder, name), root))
  return sorted(found, key=lambda path: path.split(os.sep))


def find(root: pathlib.Path, path: str) -> pathlib.Path:
  """The regular file of a listed path.

  Raises:
    UnsafeNameError: it leads out of the folder, or is no regular file.
    MissingError: there is no such file.
    OSError: it cannot be looked at.
  """
  try:
    file = inside(root, path)
  except OutsideError as error:
    raise UnsafeNameError(
      'The name or link leads out of the folder.'
    ) from error
  if file.is_dir():
    raise UnsafeNameError('Links to folders are not followed.')
  if not file.exists():
    is_link = file.is_symlink()
    raise MissingError(
      'The link leads nowhere.' if is_link else 'No such file.'
    )
  if not file.is_file():
    raise UnsafeNameError('It is no regular file.')
  return file


def digest(path: str | os.PathLike) -> str:
  """SHA-256 of a file's content, hexadecimal.

  Raises:
    OSError: the file cannot be read.
  """
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()
