"""PyTorch's checkpoint files: a pickle, and beside it the bytes of tensors.

Two containers exist: the legacy one, a sequence of pickles followed by the
raw storages, and since PyTorch 1.6 an uncompressed zip archive. Both are read;
the legacy one, which every version of PyTorch reads, is written.
"""

import io
import math
import os
import pathlib
import pickle
import struct
import typing
import zipfile
from collections.abc import Iterable, Mapping

import numpy as np

from avl_jax.torch_files import unpickler as torch_unpickler
from avl_jax.torch_files.errors import ReleaseError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_SYSTEM = {
  'protocol_version': _PROTOCOL,
  'little_endian': True,
  'type_sizes': {'short': 2, 'int': 4, 'long': 4},
}


def read_checkpoint(path: str | os.PathLike):
  """Reads what `torch.save` wrote, in either container.

  Args:
    path: of a checkpoint of tensors and parameters in containers, such as
      Apex' {'net', 'optimizer', 'amp'}.

  Returns:
    The containers with arrays in their places, in the file's order, dtypes and
    PyTorch's layouts. They are read-only views: tensors that share a storage
    share memory.

  Raises:
    ReleaseError: the file names a global outside the allow-list, which is
      not called; or is truncated or damaged.
    OSError: the file cannot be opened.
  """
  path = pathlib.Path(path)
  with path.open('rb') as file:
    try:
      return torch_unpickler.settle(
        *read(file, os.fstat(file.fileno()).st_size)
      )
    except ReleaseError as error:
      raise ReleaseError(f'{path}: {error}') from None
    # A damaged pickle or archive may raise anything.
    except Exception as error:
      raise ReleaseError(
        f'{path}: truncated, damaged or not a PyTorch checkpoint ({error!r})'
      ) from error


def read_state_dict(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads a state dict, or that of an Apex checkpoint; see `read_checkpoint`.

  Args:
    path: a file whose top level, or entry 'net' beside 'amp', is a dictionary
      of tensors (or parameters).

  Returns:
    The arrays by name.

  Raises:
    ReleaseError: as `read_checkpoint`; or it is no state dict.
    OSError: the file cannot be opened.
  """
  state = read_checkpoint(path)
  if isinstance(state, dict) and {'net', 'amp'} <= set(state):
    state = state['net']
  if not isinstance(state, dict):
    raise ReleaseError(
      f'{path}: holds a {type(state).__name__}, expected a state dict'
    )
  for name, value in state.items():
    if not isinstance(name, str) or not isinstance(value, np.ndarray):
      raise ReleaseError(
        f'{path}: entry {name!r} is a {type(value).__name__}, expected a '
        'tensor; is this a state dict?'
      )
  return state


def read(file: typing.BinaryIO, size: int) -> tuple[object, dict]:
  """The unpickled object and the arrays of its storages, by key."""
  is_zip = file.read(4) == b'PK\x03\x04'
  file.seek(0)
  return (_read_zip if is_zip else _read_legacy)(file, size)


def _read_storage(
  file: typing.BinaryIO, storage: torch_unpickler.Storage, available: int
) -> np.ndarray:
  needed = storage.size * np.dtype(storage.dtype).itemsize
  if needed > available:
    raise ReleaseError(
      f'truncated: storage {storage.key} needs {needed} bytes, of which '
      f'{available} are there'
    )
  return np.frombuffer(file.read(needed), storage.dtype)


def _read_legacy(file: typing.BinaryIO, size: int) -> tuple[object, dict]:
  def load():
    return torch_unpickler.Unpickler(file, size).load()

  magic = load()
  protocol, system = load(), load()
  if (magic, protocol) != (_MAGIC, _PROTOCOL) or not system['little_endian']:
    raise ReleaseError(
      f'magic number {magic}, protocol {protocol} on {system}: expected '
      f'{_MAGIC}, {_PROTOCOL} on a little-endian system'
    )
  unpickler = torch_unpickler.Unpickler(file, size)
  pickled = unpickler.load()
  arrays = {}
  for key in load():
    storage = unpickler.storages[key]
    elements = int.from_bytes(file.read(8), 'little')
    arrays[key] = _read_storage(file, storage, size - file.tell())
    if elements != storage.size:
      raise ReleaseError(
        f'storage {key} has {elements} elements, expected {storage.size}'
      )
  return pickled, arrays


def _read_zip(file: typing.BinaryIO, size: int) -> tuple[object, dict]:
  with zipfile.ZipFile(file) as archive:
    sizes = {info.filename: info.file_size for info in archive.infolist()}
    # PyTorch does not compress: what unpacks to more is not its work.
    if sum(sizes.values()) > size:
      raise ReleaseError('the members of the archive are larger than the file')
    (root,) = (
      name.removesuffix('data.pkl')
      for name in sizes
      if name.endswith('/data.pkl') and name.count('/') == 1
    )
    order = f'{root}byteorder'
    if order in sizes and archive.read(order) != b'little':
      raise ReleaseError('it is not of a little-endian system')
    pickled_bytes = io.BytesIO(archive.read(f'{root}data.pkl'))
    unpickler = torch_unpickler.Unpickler(pickled_bytes, size)
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
    path: of the file; an old one is replaced once the new one is whole.
    state: arrays by name, of the types of `unpickle.STORAGES`.
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
  """The pickle of a state dict whose storages are named by the keys."""
  kinds = {
    np.dtype(kind): name for name, kind in torch_unpickler.STORAGES.items()
  }

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
