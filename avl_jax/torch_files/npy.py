"""NumPy's files: .npz and .npy with one numeric array."""

import math
import os
import pathlib
import typing
import zipfile

import numpy as np

from avl_jax.torch_files.errors import ReleaseError

LARGEST = 2**30  # bytes of an array: two hours of the widest features
_KINDS = 'fiub'


def read_array(path: str | os.PathLike, key: str = '') -> np.ndarray:
  """Reads an array of an .npz file, or that of an .npy file.

  Args:
    path: of the file, of either kind whatever its name ends in.
    key: of the array in an .npz: 'features' (visual), 'arr_0' (spectrograms).

  Returns:
    The array, of a type of numbers.

  Raises:
    ReleaseError: the file is truncated, damaged or lacks the array; or the
      array is not of numbers, is not as large as the file says, or is larger
      than `LARGEST`. Nothing is allocated before these are known.
    OSError: the file cannot be opened.
  """
  path = pathlib.Path(path)
  with path.open('rb') as file:
    try:
      if file.read(4) != b'PK\x03\x04':
        file.seek(0)
        return _read(file, os.fstat(file.fileno()).st_size)
      with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if f'{key}.npy' not in members:
          raise ReleaseError(f'no array {key!r}; it has {sorted(members)}')
        info = members[f'{key}.npy']
        with archive.open(info) as member:
          return _read(member, info.file_size)
    except ReleaseError as error:
      raise ReleaseError(f'{path}: {error}') from None
    # A damaged archive may raise anything.
    except Exception as error:
      raise ReleaseError(
        f'{path}: truncated, damaged or not of NumPy ({error!r})'
      ) from error


def _read(file: typing.BinaryIO, size: int) -> np.ndarray:
  """The array of a file at its beginning, whose whole length is `size`."""
  version = np.lib.format.read_magic(file)
  # The others are for headers that an array of numbers does not have, of up to
  # 4 GB, which NumPy reads before it refuses them.
  if version != (1, 0):
    raise ReleaseError(f'refused an array in format {version} of NumPy')
  shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
  if dtype.kind not in _KINDS:
    raise ReleaseError(f'refused an array of dtype {dtype}')
  needed = math.prod(shape) * dtype.itemsize
  there = size - file.tell()
  if needed != there or needed > LARGEST:
    raise ReleaseError(
      f'an array of shape {shape} needs {needed} bytes, of which {there} are '
      f'there; at most {LARGEST} are read'
    )
  content = file.read(needed)
  # Of a compressed member the size is a claim, too.
  if len(content) != needed or file.read(1):
    raise ReleaseError('the array is not as large as the file says')
  flat = np.frombuffer(content, dtype)
  return flat.reshape(shape, order='F' if fortran else 'C')
