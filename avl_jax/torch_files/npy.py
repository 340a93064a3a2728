"""Reads a numeric array of NumPy's .npz and .npy files, with limits."""

import math
import os
import pathlib
import zipfile
from typing import IO

import numpy as np

from avl_jax.torch_files import errors
from avl_jax.torch_files.errors import ReleaseError

LARGEST = 2**30  # bytes of an array: two hours of the widest features
_KINDS = 'fiub'


def read_array(path: str | os.PathLike, key: str = '') -> np.ndarray:
  """Reads an array of an .npz file, or the array of an .npy file.

  Args:
    path: of the file; its kind is recognised by its content.
    key: of the array in an .npz: 'features' (visual), 'arr_0' (spectrograms).

  Returns:
    The array, of a numeric dtype.

  Raises:
    ReleaseError: the file is truncated, damaged or lacks the array; or the
      array is not numeric, is not as large as the file claims, or is larger
      than `LARGEST`. These are checked before memory is allocated.
    OSError: the file cannot be opened.
  """
  path = pathlib.Path(path)
  expected = 'written by NumPy'
  with path.open('rb') as file, errors.naming(path, expected):
    if file.read(4) != b'PK\x03\x04':
      file.seek(0)
      return _read(file, os.fstat(file.fileno()).st_size)
    with zipfile.ZipFile(file) as archive:
      members = {info.filename: info for info in archive.infolist()}
      if f'{key}.npy' not in members:
        raise ReleaseError(
          f'There is no array {key!r}. The file has {sorted(members)}.'
        )
      info = members[f'{key}.npy']
      # The library unpacks the others without a limit.
      if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ReleaseError(
          f'The array is compressed by method {info.compress_type}, which '
          'NumPy does not write.'
        )
      with archive.open(info) as member:
        return _read(member, info.file_size)


def _read(file: IO[bytes], size: int) -> np.ndarray:
  """Reads the array of a file of `size` bytes, positioned at its beginning."""
  version = np.lib.format.read_magic(file)
  # Other versions are for headers that a numeric array does not have, of up to
  # 4 GB, which NumPy reads before it refuses them.
  if version != (1, 0):
    raise ReleaseError(
      f"Refused an array in NumPy's format {version}. Expected (1, 0)."
    )
  shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
  if dtype.kind not in _KINDS:
    raise ReleaseError(f'Refused an array of dtype {dtype}. Expected numbers.')
  needed = math.prod(shape) * dtype.itemsize
  available = size - file.tell()
  if needed != available or needed > LARGEST:
    raise ReleaseError(
      f'An array of shape {shape} needs {needed} bytes, but the file has '
      f'{available}. At most {LARGEST} are read.'
    )
  content = file.read(needed)
  # The size of a compressed member is also only a claim.
  if len(content) != needed or file.read(1):
    raise ReleaseError('The array is not as large as the file claims.')
  flat = np.frombuffer(content, dtype)
  return flat.reshape(shape, order='F' if fortran else 'C')
