"""Reads PyTorch's checkpoint files without PyTorch, safely.

A checkpoint is a pickle, a program that may call any function of any module,
and beside it the bytes of its tensors. The pickle is run here with an
allow-list: it can name tensors and dictionaries, and every other global is
refused by name before it is looked up. Two containers exist: the legacy one,
a sequence of pickles followed by the raw storages, and since PyTorch 1.6 an
uncompressed zip archive.
"""

import collections
import io
import os
import pathlib
import pickle
import typing
import zipfile

import ml_dtypes
import numpy as np

from avl_jax import UserError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES = {
  'DoubleStorage': np.float64,
  'FloatStorage': np.float32,
  'HalfStorage': np.float16,
  'BFloat16Storage': ml_dtypes.bfloat16,
  'LongStorage': np.int64,
  'IntStorage': np.int32,
  'ShortStorage': np.int16,
  'CharStorage': np.int8,
  'ByteStorage': np.uint8,
  'BoolStorage': np.bool_,
}


class ReleaseError(UserError, ValueError):
  """A checkpoint that is damaged or asks for more than arrays."""


class _Storage(typing.NamedTuple):
  key: str
  dtype: type
  size: int  # elements


class _Tensor(typing.NamedTuple):
  storage: _Storage
  offset: int  # elements, as the strides
  shape: tuple[int, ...]
  strides: tuple[int, ...]

  def __setstate__(self, state):
    """Old files attach (requires_grad, ...) to a parameter: no use here."""


class _Unpickler(pickle.Unpickler):
  """Builds dictionaries of `_Tensor`s; what they hold is checked later."""

  def __init__(self, file: typing.BinaryIO):
    super().__init__(file)
    self.storages: dict[str, _Storage] = {}

  def find_class(self, module: str, name: str):
    # New functions every time: a pickle may set attributes of what it gets.
    allowed = {
      'collections.OrderedDict': collections.OrderedDict,
      'torch._utils._rebuild_tensor': lambda *args: _Tensor(*args[:4]),
      'torch._utils._rebuild_tensor_v2': lambda *args: _Tensor(*args[:4]),
      'torch._utils._rebuild_parameter': lambda tensor, *_: tensor,
      'torch.nn.parameter.Parameter': lambda tensor, *_: tensor,
      **{f'torch.{storage}': storage for storage in _STORAGES},
    }
    if f'{module}.{name}' not in allowed:
      raise ReleaseError(
        f'refused to load the global {module}.{name}: only tensors and '
        'dictionaries of them are read'
      )
    return allowed[f'{module}.{name}']

  def persistent_load(self, pid: tuple) -> _Storage:
    kind, dtype, key, _, size, *view = pid
    storage = _Storage(key, _STORAGES[dtype], size)
    if kind != 'storage' or type(size) is not int or size < 0 or any(view):
      raise ReleaseError(f'{pid} is no storage of a known kind')
    if self.storages.setdefault(key, storage) != storage:
      raise ReleaseError(f'storage {key} has two types or sizes')
    return storage


def _read_storage(
  file: typing.BinaryIO, storage: _Storage, available: int
) -> np.ndarray:
  needed = storage.size * np.dtype(storage.dtype).itemsize
  if needed > available:
    raise ReleaseError(
      f'truncated: storage {storage.key} needs {needed} bytes, of which '
      f'{available} are there'
    )
  return np.frombuffer(file.read(needed), storage.dtype)


def _read_legacy(file: typing.BinaryIO, size: int) -> tuple[object, dict]:
  """The pickled object and the arrays of its storages."""
  magic = _Unpickler(file).load()
  protocol, system = _Unpickler(file).load(), _Unpickler(file).load()
  if (magic, protocol) != (_MAGIC, _PROTOCOL) or not system['little_endian']:
    raise ReleaseError(
      f'magic number {magic}, protocol {protocol} on {system}: expected '
      f'{_MAGIC}, {_PROTOCOL} on a little-endian system'
    )
  unpickler = _Unpickler(file)
  pickled = unpickler.load()
  arrays = {}
  for key in _Unpickler(file).load():
    storage = unpickler.storages[key]
    elements = int.from_bytes(file.read(8), 'little')
    arrays[key] = _read_storage(file, storage, size - file.tell())
    if elements != storage.size:
      raise ReleaseError(
        f'storage {key} has {elements} elements, expected {storage.size}'
      )
  return pickled, arrays


def _read_zip(file: typing.BinaryIO, size: int) -> tuple[object, dict]:
  """The pickled object and the arrays of its storages."""
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
    unpickler = _Unpickler(io.BytesIO(archive.read(f'{root}data.pkl')))
    pickled = unpickler.load()
    arrays = {}
    for key, storage in unpickler.storages.items():
      name = f'{root}data/{key}'
      with archive.open(name) as member:
        arrays[key] = _read_storage(member, storage, sizes[name])
  return pickled, arrays


def _array(tensor: _Tensor, arrays: dict[str, np.ndarray]) -> np.ndarray:
  """The tensor as a view of its storage."""
  storage, offset, shape, strides = tensor
  flat = arrays[storage.key]
  numbers = (offset, *shape, *strides)
  if len(shape) != len(strides) or any(
    type(n) is not int or n < 0 for n in numbers
  ):
    raise ReleaseError(f'{tensor} is no array')
  if 0 in shape:
    return np.zeros(shape, flat.dtype)
  last = offset + sum(
    (n - 1) * stride for n, stride in zip(shape, strides, strict=True)
  )
  if last >= flat.size:
    raise ReleaseError(f'{tensor} reaches beyond its storage')
  return np.lib.stride_tricks.as_strided(
    flat[offset:],
    shape,
    [stride * flat.itemsize for stride in strides],
    writeable=False,
  )


def _state_dict(pickled, arrays) -> dict[str, np.ndarray]:
  if not isinstance(pickled, dict):
    raise ReleaseError(
      f'holds a {type(pickled).__name__}, expected a state dict'
    )
  for name, value in pickled.items():
    if not isinstance(name, str) or not isinstance(value, _Tensor):
      raise ReleaseError(
        f'entry {name!r} is a {type(value).__name__}, expected a tensor; is '
        'this a state dict?'
      )
  return {name: _array(tensor, arrays) for name, tensor in pickled.items()}


def read_state_dict(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads a state dict that `torch.save` wrote, in either container.

  Args:
    path: a file whose top level is a dictionary of tensors (or parameters).

  Returns:
    The arrays by name, in the file's order, dtypes and PyTorch's layouts.
    They are read-only views: tensors that share a storage share memory.

  Raises:
    ReleaseError: the file names a global outside the allow-list, which is
      not called; or is truncated, damaged or no state dict.
    OSError: the file cannot be opened.
  """
  path = pathlib.Path(path)
  with path.open('rb') as file:
    is_zip = file.read(4) == b'PK\x03\x04'
    file.seek(0)
    try:
      read = _read_zip if is_zip else _read_legacy
      return _state_dict(*read(file, os.fstat(file.fileno()).st_size))
    except ReleaseError as error:
      raise ReleaseError(f'{path}: {error}') from None
    # A damaged pickle or archive may raise anything.
    except Exception as error:
      raise ReleaseError(
        f'{path}: truncated, damaged or not a PyTorch checkpoint ({error!r})'
      ) from error
