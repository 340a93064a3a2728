"""Reads and writes safetensors files: a header of JSON and raw tensors.

PyTorch's users convert `.pth` files to this format because it holds nothing but
arrays. A file is the length of its header (8 bytes, little-endian), the header,
which gives the type, shape and bytes of each entry, and these bytes. The
library `safetensors` checks that the entries cover the file without gaps and
overlaps; this module checks what the library lets through.
"""

import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import IO, Any

import numpy as np
from safetensors import numpy as safetensors_numpy

from avl_jax.files import write_atomically
from avl_jax.torch_files.errors import ReleaseError

LARGEST_HEADER = 2**22  # bytes: 40,000 entries, where ResNet-152 has 932
_METADATA = '__metadata__'
_WRITTEN = {'format': 'pt', 'written_by': 'avl_jax'}
_TORCH = b'PK\x03\x04', b'\x80\x02'  # beginnings of PyTorch's files
# The format's names of the dtypes in `tensors.STORAGES`.
_TYPES = 'F64', 'F32', 'F16', 'BF16', 'I64', 'I32', 'I16', 'I8', 'U8', 'BOOL'


def is_named(path: str | os.PathLike) -> bool:
  """Returns whether a path ends in `.safetensors`."""
  return pathlib.Path(path).suffix.lower() == '.safetensors'


def recognise(path: str | os.PathLike) -> bool:
  """Returns whether a file has this format, by its content.

  The header begins with '{', behind its length. A file that begins neither so
  nor as PyTorch's do is called what its name says.

  Raises:
    OSError: the file cannot be opened.
  """
  with pathlib.Path(path).open('rb') as file:
    beginning = file.read(9)
  if beginning[8:] == b'{':
    return True
  return is_named(path) and not beginning.startswith(_TORCH)


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads the entries of a file; its metadata are ignored.

  Args:
    path: of the file.

  Returns:
    The arrays by name, in the header's order. No other copy is in memory.

  Raises:
    ReleaseError: the file is truncated or damaged, names an entry twice, or has
      an entry of a type that is not in `tensors.STORAGES`. No memory is taken
      for a size that the file does not have.
    OSError: the file cannot be opened.
  """
  path = pathlib.Path(path)
  with path.open('rb') as file:
    try:
      names = _names(file, os.fstat(file.fileno()).st_size)
      # Not mapped: a file that shrinks meanwhile would kill the process.
      arrays = safetensors_numpy.load_file(path, backend='pread')
      return {name: arrays[name] for name in names}
    except ReleaseError as error:
      problem, cause = error, None
    # A damaged file may raise anything.
    except Exception as error:
      problem, cause = (
        'The file is truncated, damaged or not in the format safetensors '
        f'({error!r:.200}). Expected entries that cover the file.',
        error,
      )
  raise ReleaseError(
    f'{path}: {problem} Copy, download or convert the file again.'
  ) from cause


def _names(file: IO[bytes], size: int) -> list[str]:
  """Reads the names of the entries of a file of `size` bytes."""
  length = int.from_bytes(file.read(8), 'little')
  if length > min(size - 8, LARGEST_HEADER):
    raise ReleaseError(
      f'The file has {size} bytes and claims a header of {length}. Expected 8 '
      f'bytes and a whole header, of at most {LARGEST_HEADER} bytes.'
    )
  header = json.loads(file.read(length).decode(), object_pairs_hook=_unique)
  header.pop(_METADATA, None)
  for name, entry in header.items():
    if entry['dtype'] not in _TYPES:
      raise ReleaseError(
        f'The entry {name!r:.200} has the type {entry["dtype"]!r:.20}. '
        f'Expected one of {", ".join(_TYPES)}.'
      )
  return list(header)


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
  """Makes a dictionary of JSON; the library takes the last of equal names."""
  result = {}
  for name, value in pairs:
    if name in result:
      raise ReleaseError(
        f'The header has {name!r:.200} twice. Expected each name once.'
      )
    result[name] = value
  return result


def write(path: str | os.PathLike, state: Mapping[str, np.ndarray]) -> None:
  """Writes a file that `safetensors.torch.load_file` reads as a state dict.

  Equal states give equal bytes, whatever their order.

  Args:
    path: of the file; an existing file is replaced atomically.
    state: arrays by name, of the dtypes in `tensors.STORAGES`.

  Raises:
    UserError: the file cannot be written.
  """
  # The library writes the memory of an array, whatever its strides.
  arrays = {name: np.asarray(x, order='C') for name, x in state.items()}
  content = safetensors_numpy.save(arrays, _WRITTEN)
  start = 8 + int.from_bytes(content[:8], 'little')
  # The library writes the metadata in a random order.
  header = json.dumps(json.loads(content[8:start]), sort_keys=True).encode()
  header += b' ' * (-len(header) % 8)  # The tensors are aligned.
  length = len(header).to_bytes(8, 'little')
  write_atomically(path, b''.join((length, header, content[start:])))
