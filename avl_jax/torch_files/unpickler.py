"""Runs a pickle with an allow-list: arrays, tensors and containers.

A pickle is a program that may call any function of any module. Here it can
name what rebuilds a tensor or an array; every other global is refused by name
before it is looked up. The interpreter is the standard library's in Python:
the one in C takes memory for a memo of whatever index a pickle claims.
"""

import math
import pickle
import struct
import typing
from collections import OrderedDict
from collections.abc import Callable, Mapping

import ml_dtypes
import numpy as np

from avl_jax.torch_files.errors import ReleaseError

STORAGES = {
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
_NUMBERS = {
  *('f2', 'f4', 'f8', 'b1'),
  *(f'{kind}{size}' for kind in 'iu' for size in (1, 2, 4, 8)),
}
_SCALARS = (str, bytes, bytearray, int, float, type(None))


class Storage(typing.NamedTuple):
  """The flat memory of tensors; `content` once it is known."""

  key: str
  dtype: type
  size: int  # elements
  content: np.ndarray | None = None


class Tensor(typing.NamedTuple):
  """A view of a storage, to be checked by `tensor_array`."""

  storage: Storage
  offset: int  # elements, as the strides
  shape: tuple[int, ...]
  strides: tuple[int, ...]

  def __setstate__(self, state):
    """Old files attach (requires_grad, ...) to a parameter: no use here."""


class _Dtype:
  """A NumPy dtype in the making: its code, then its byte order."""

  def __init__(self, code: str):
    self.code, self.order = code, '='

  def __setstate__(self, state):
    self.order = state[1]

  def dtype(self) -> np.dtype:
    if self.code not in _NUMBERS:
      raise ReleaseError(f'refused an array of dtype {self.code!r}')
    return np.dtype(self.code).newbyteorder(self.order)


class _Array:
  """A NumPy array in the making."""

  def __init__(self, content=b'', dtype=None, shape=(0,), order='C'):
    self._content, self._dtype = content, dtype
    self._shape, self._order = shape, order

  def __setstate__(self, state):
    _, self._shape, self._dtype, fortran, self._content = state
    self._order = 'F' if fortran else 'C'

  def array(self) -> np.ndarray:
    dtype = self._dtype.dtype()
    _check_counts(self._shape)
    needed = math.prod(self._shape) * dtype.itemsize
    if needed != len(self._content):
      raise ReleaseError(
        f'an array of shape {self._shape} needs {needed} bytes, of which '
        f'{len(self._content)} are there'
      )
    flat = np.frombuffer(self._content, dtype)
    return flat.reshape(self._shape, order=self._order)


class _Bounded(typing.NamedTuple):
  """A file of which no more is read at once than it has."""

  file: typing.BinaryIO
  size: int

  def read(self, count: int) -> bytes:
    if count > self.size:
      raise EOFError(f'{count} bytes are claimed of {self.size}')
    return self.file.read(count)

  def readline(self) -> bytes:
    line = self.file.readline()
    if not line.endswith(b'\n'):
      raise EOFError('a line without its end')
    return line


class Unpickler(pickle._Unpickler):
  """Builds containers of what `settle` makes arrays of.

  Attributes:
    storages: key -> storage, those that the pickle named.
  """

  def __init__(
    self,
    file: typing.BinaryIO,
    size: int,
    load_storage: Callable[[bytes], Storage] | None = None,
  ):
    """Prepares to read.

    Args:
      file: at the pickle's beginning.
      size: of the file in bytes; more is not read at once.
      load_storage: makes a storage of what PyTorch pickles for one outside of
        its own containers; None: such storages and NumPy's arrays are refused.
    """
    super().__init__(_Bounded(file, size))
    self._size, self._copied = size, 0
    self.storages: dict[str, Storage] = {}
    self._load_storage = load_storage

  def load_bytearray8(self):
    """The library's own takes the memory before it reads."""
    (size,) = struct.unpack('<Q', self.read(8))
    self.append(self.read(size))

  dispatch = pickle._Unpickler.dispatch | {
    pickle.BYTEARRAY8[0]: load_bytearray8
  }

  def find_class(self, module: str, name: str):
    """What a pickle may name; new each time, for it may set attributes."""
    allowed = {
      'collections.OrderedDict': lambda *items: OrderedDict(
        *map(self._counted, items)
      ),
      'torch._utils._rebuild_tensor': lambda *args: Tensor(*args[:4]),
      'torch._utils._rebuild_tensor_v2': lambda *args: Tensor(*args[:4]),
      'torch._utils._rebuild_parameter': lambda tensor, *_: tensor,
      'torch.nn.parameter.Parameter': lambda tensor, *_: tensor,
      **{f'torch.{storage}': storage for storage in STORAGES},
    }
    if self._load_storage:
      allowed |= {
        'torch.storage._load_from_bytes': lambda content: self._load_storage(
          self._counted(content)
        ),
        '_codecs.encode': lambda text, _: self._counted(text).encode('latin1'),
        'builtins.bytearray': lambda content=b'': bytes(self._counted(content)),
        # What is empty, before the third protocol.
        '__builtin__.bytes': lambda: b'',
        'numpy.ndarray': 'ndarray',
        'numpy.dtype': lambda code, *_: _Dtype(code),
      }
      for numpy in ('numpy.core', 'numpy._core'):
        allowed |= {
          f'{numpy}.multiarray._reconstruct': lambda *_: _Array(),
          f'{numpy}.multiarray.scalar': lambda dtype, content: _Array(
            content, dtype, ()
          ),
          f'{numpy}.numeric._frombuffer': lambda *args: _Array(*args[:4]),
        }
    if f'{module}.{name}' not in allowed:
      raise ReleaseError(
        f'refused to load the global {module}.{name}: only arrays, tensors and '
        'containers of them are read'
      )
    return allowed[f'{module}.{name}']

  def _counted(self, content):
    """What is to be copied; a file's parts are decoded once, and read once."""
    self._copied += len(content)
    if self._copied > 2 * self._size:
      raise ReleaseError(
        f'refused to copy what there is, {self._size} bytes, again and again'
      )
    return content

  def persistent_load(self, pid: tuple) -> Storage:
    """The storage that a tensor of PyTorch's containers names."""
    kind, dtype, key, _, size, *view = pid
    storage = Storage(key, STORAGES[dtype], size)
    if kind != 'storage' or type(size) is not int or size < 0 or any(view):
      raise ReleaseError(f'{pid} is no storage of a known kind')
    if self.storages.setdefault(key, storage) != storage:
      raise ReleaseError(f'storage {key} has two types or sizes')
    return storage


def settle(value, contents: Mapping[str, np.ndarray]):
  """What was unpickled, with arrays for its tensors.

  Args:
    value: containers of scalars, tensors and NumPy's arrays.
    contents: key -> the flat array of a storage.

  Raises:
    ReleaseError: there is anything else in it, or an array reaches beyond
      what the file holds.
  """
  done = {}  # What is shared is settled once, else it could grow without end.

  def visit(value):
    if id(value) not in done:
      # The value too, or its id would be given to another one.
      done[id(value)] = value, make(value)
    return done[id(value)][1]

  def make(value):
    if isinstance(value, Tensor):
      return tensor_array(value, contents)
    if isinstance(value, _Array):
      return value.array()
    if isinstance(value, dict) and all(isinstance(k, _SCALARS) for k in value):
      return {key: visit(item) for key, item in value.items()}
    if type(value) in (list, tuple):
      return type(value)(visit(item) for item in value)
    if isinstance(value, _SCALARS):
      return value
    raise ReleaseError(f'{value!r} is neither array nor container')

  return visit(value)


def tensor_array(
  tensor: Tensor, contents: Mapping[str, np.ndarray]
) -> np.ndarray:
  """The tensor as a read-only view of its storage.

  Raises:
    ReleaseError: it reaches beyond its storage, or has more elements.
  """
  storage, offset, shape, strides = tensor
  flat = storage.content
  flat = contents[storage.key] if flat is None else flat
  _check_counts((offset, *shape, *strides))
  if len(shape) != len(strides):
    raise ReleaseError(f'shape {shape} with strides {strides} is no array')
  if 0 in shape:
    return np.zeros(shape, flat.dtype)
  last = offset + sum(
    (n - 1) * stride for n, stride in zip(shape, strides, strict=True)
  )
  if last >= flat.size or math.prod(shape) > flat.size:
    raise ReleaseError(
      f'a tensor of shape {shape}, strides {strides} at {offset} reaches '
      f'beyond its storage of {flat.size}'
    )
  return np.lib.stride_tricks.as_strided(
    flat[offset:],
    shape,
    [stride * flat.itemsize for stride in strides],
    writeable=False,
  )


def _check_counts(counts: tuple) -> None:
  if any(type(count) is not int or count < 0 for count in counts):
    raise ReleaseError(f'{counts} are no sizes of an array')
