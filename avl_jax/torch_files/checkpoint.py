"""Reads and writes PyTorch's checkpoint files: a pickle and raw storages.

There are two containers: the legacy one, a sequence of pickles followed by the
raw storages, and since PyTorch 1.6 an uncompressed zip archive. Both are read.
The legacy one is written, because every version of PyTorch reads it.
"""

import io
import math
import os
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Iterable, Mapping
from typing import IO, Any

import numpy as np

from avl_jax.torch_files import errors, tensors
from avl_jax.torch_files.errors import ReleaseError
from avl_jax.torch_files.unpickler import Unpickler

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_SYSTEM = {
  'protocol_version': _PROTOCOL,
  'little_endian': True,
  'type_sizes': {'short': 2, 'int': 4, 'long': 4},
}


def read_checkpoint(path: str | os.PathLike) -> Any:
  """Reads a file written by `torch.save`, in either container.

  Args:
    path: of a checkpoint: tensors and parameters in containers, such as Apex'
      {'net', 'optimizer', 'amp'}.

  Returns:
    The containers, with arrays in place of tensors, in the file's order, dtypes
    and PyTorch's layouts. The arrays are read-only views; tensors that share a
    storage share memory.

  Raises:
    ReleaseError: the file names a global outside the allow-list (it is not
      called), or is truncated or damaged.
    OSError: the file cannot be opened.
  """
  path = pathlib.Path(path)
  expected = 'a PyTorch checkpoint'
  with path.open('rb') as file, errors.naming(path, expected):
    size = os.fstat(file.fileno()).st_size
    return tensors.to_arrays(*read(file, size), size)


def read_state_dict(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads the state dict of a PyTorch or Apex checkpoint.

  Args:
    path: of a file (see `read_checkpoint`) whose top level, or whose entry
      'net' beside 'amp', is a dictionary of tensors or parameters.

  Returns:
    The arrays by name.

  Raises:
    ReleaseError: as `read_checkpoint`; or the file holds no state dict.
    OSError: the file cannot be opened.

  Example:
    state = torch_files.read_state_dict('resnet152.pth')
    state['conv1.weight']  # float32 [64, 3, 7, 7]
  """
  state = read_checkpoint(path)
  if isinstance(state, dict) and {'net', 'amp'} <= set(state):
    state = state['net']
  if not isinstance(state, dict):
    raise ReleaseError(
      f'{path}: The file holds a {type(state).__name__}. Expected a state dict.'
    )
  for name, value in state.items():
    if not isinstance(name, str) or not isinstance(value, np.ndarray):
      raise ReleaseError(
        f'{path}: The entry {name!r} is a {type(value).__name__}. Expected a '
        'state dict, whose entries are tensors.'
      )
  return state


def read(file: IO[bytes], size: int) -> tuple[Any, dict[str, np.ndarray]]:
  """Reads the unpickled object, and the flat array of each storage by key."""
  is_zip = file.read(4) == b'PK\x03\x04'
  file.seek(0)
  return (_read_zip if is_zip else _read_legacy)(file, size)


def _read_storage(
  file: IO[bytes], storage: tensors.Storage, available: int
) -> np.ndarray:
  needed = storage.size * np.dtype(storage.dtype).itemsize
  if needed > available:
    raise ReleaseError(
      f'The file is truncated: storage {storage.key} needs {needed} bytes, but '
      f'{available} remain.'
    )
  return np.frombuffer(file.read(needed), storage.dtype)


def _read_legacy(file: IO[bytes], size: int) -> tuple[Any, dict]:
  def load():
    return Unpickler(file, size).load()

  magic, protocol, system = load(), load(), load()
  if (magic, protocol) != (_MAGIC, _PROTOCOL):
    numbers = (magic, protocol)
    # The text of other values can be exponentially longer than the file.
    first, second = (x if type(x) is int else type(x).__name__ for x in numbers)
    raise ReleaseError(
      f'The magic number is {first}, the protocol {second}. Expected {_MAGIC} '
      f'and {_PROTOCOL}.'
    )
  if not system['little_endian']:
    raise ReleaseError('The file was not written on a little-endian system.')
  unpickler = Unpickler(file, size)
  pickled = unpickler.load()
  arrays = {}
  for key in load():
    if type(key) is not str:  # The hash of nested tuples may take for ever.
      raise ReleaseError(f'A storage is named by a {type(key).__name__}.')
    storage = unpickler.storages[key]
    elements = int.from_bytes(file.read(8), 'little')
    arrays[key] = _read_storage(file, storage, size - file.tell())
    if elements != storage.size:
      raise ReleaseError(
        f'Storage {key} has {elements} elements. Expected {storage.size}.'
      )
  return pickled, arrays


def _read_zip(file: IO[bytes], size: int) -> tuple[Any, dict]:
  with zipfile.ZipFile(file) as archive:
    sizes = {info.filename: info.file_size for info in archive.infolist()}
    # PyTorch does not compress, so the members cannot exceed the file.
    if sum(sizes.values()) > size:
      raise ReleaseError('The members of the archive are larger than the file.')
    if any(
      info.compress_type != zipfile.ZIP_STORED
      or info.compress_size != info.file_size
      for info in archive.infolist()
    ):
      raise ReleaseError(
        'A member of the archive is compressed, which PyTorch does not do.'
      )
    (root,) = (
      name.removesuffix('data.pkl')
      for name in sizes
      if name.endswith('/data.pkl') and name.count('/') == 1
    )
    order = f'{root}byteorder'
    if order in sizes and archive.read(order) != b'little':
      raise ReleaseError('The file was not written on a little-endian system.')
    pickled_bytes = io.BytesIO(archive.read(f'{root}data.pkl'))
    unpickler = Unpickler(pickled_bytes, size)
    pickled = unpickler.load()
    arrays = {}
    for key, storage in unpickler.storages.items():
      name = f'{root}data/{key}'
      with archive.open(name) as member:
        arrays[key] = _read_storage(member, storage, sizes[name])
  return pickled, arrays


def write_state_dict(
  path: str | os.PathLike, state: Mapping[str, np.ndarray]
) -> None:
  """Writes a legacy checkpoint that `torch.load` reads as a state dict.

  Args:
    path: of the file; an existing file is replaced atomically.
    state: arrays by name, of the dtypes in `tensors.STORAGES`.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'{path.name}.tmp')
  keys = [str(i) for i in range(len(state))]
  with temporary.open('wb') as file:
    for value in (_MAGIC, _PROTOCOL, _SYSTEM):
      pickle.dump(value, file, protocol=2)
    file.write(_pickled(dict(zip(keys, state.items(), strict=True))))
    pickle.dump(keys, file, protocol=2)
    for array in state.values():
      file.write(struct.pack('<q', array.size))
      file.write(np.ascontiguousarray(array).tobytes())
  os.replace(temporary, path)


def _pickled(entries: Mapping[str, tuple[str, np.ndarray]]) -> bytes:
  """Pickles a state dict whose storages are named by the keys."""
  kinds = {np.dtype(kind): name for name, kind in tensors.STORAGES.items()}

  def text(value: str) -> bytes:
    content = value.encode()
    return pickle.BINUNICODE + struct.pack('<I', len(content)) + content

  def numbers(values: Iterable[int]) -> bytes:
    packed = (pickle.BININT + struct.pack('<i', value) for value in values)
    return sequence(*packed)

  def sequence(*items: bytes) -> bytes:
    return pickle.MARK + b''.join(items) + pickle.TUPLE

  def tensor(key: str, array: np.ndarray) -> bytes:
    storage = sequence(
      text('storage'),
      pickle.GLOBAL + f'torch\n{kinds[array.dtype]}\n'.encode(),
      *(text(key), text('cpu')),
      pickle.BININT + struct.pack('<i', array.size),
      pickle.NONE,
    )
    strides = (math.prod(array.shape[i + 1 :]) for i in range(array.ndim))
    arguments = sequence(
      storage + pickle.BINPERSID,
      pickle.BININT + struct.pack('<i', 0),
      *(numbers(array.shape), numbers(strides)),
      pickle.NEWFALSE + empty,
    )
    return (
      pickle.GLOBAL
      + b'torch._utils\n_rebuild_tensor_v2\n'
      + arguments
      + pickle.REDUCE
    )

  empty = (
    pickle.GLOBAL
    + b'collections\nOrderedDict\n'
    + pickle.EMPTY_TUPLE
    + pickle.REDUCE
  )
  items = b''.join(
    text(name) + tensor(key, array) for key, (name, array) in entries.items()
  )
  return b''.join(
    (
      pickle.PROTO + b'\x02',
      *(empty, pickle.MARK, items, pickle.SETITEMS, pickle.STOP),
    )
  )
