"""Unpickles with an allow-list: arrays, tensors and containers.

A pickle is a program that may call any function of any module. Here it may
name only the functions that rebuild a tensor or an array. Every other global is
refused by name before it is looked up. The interpreter is the standard
library's Python version, because the C version allocates a memo of whatever
size a pickle claims.
"""

import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any, ClassVar, NamedTuple

from avl_jax.torch_files.errors import ReleaseError
from avl_jax.torch_files.tensors import (
  STORAGES,
  PickledArray,
  PickledDtype,
  Storage,
  Tensor,
)


class _BoundedFile(NamedTuple):
  """A file that refuses to read more bytes at once than its size."""

  file: IO[bytes]
  size: int

  def read(self, count: int) -> bytes:
    if count > self.size:
      raise EOFError(f'It claims {count} bytes, but has {self.size}.')
    return self.file.read(count)

  def readline(self) -> bytes:
    line = self.file.readline()
    if not line.endswith(b'\n'):
      raise EOFError('A line has no end.')
    return line


class Unpickler(pickle._Unpickler):
  """Builds containers of values that `tensors.to_arrays` converts.

  Attributes:
    storages: key -> storage, as named by the pickle.
  """

  # Set by the library's `load`.
  read: Callable[[int], bytes]
  append: Callable[[object], None]

  def __init__(
    self,
    file: IO[bytes],
    size: int,
    load_storage: Callable[[bytes], Storage] | None = None,
  ):
    """Sets the file.

    Args:
      file: positioned at the beginning of the pickle.
      size: of the file in bytes, the limit of a single read.
      load_storage: reads a storage that PyTorch pickled outside of its own
        containers; None: such storages and NumPy arrays are refused.
    """
    super().__init__(_BoundedFile(file, size))
    self._size, self._copied = size, 0
    self.storages: dict[str, Storage] = {}
    self._load_storage = load_storage

  def load_bytearray8(self) -> None:
    """Reads before memory is allocated, unlike the library's version."""
    (size,) = struct.unpack('<Q', self.read(8))
    self.append(self.read(size))

  dispatch: ClassVar[dict[int, Any]] = pickle._Unpickler.dispatch | {
    pickle.BYTEARRAY8[0]: load_bytearray8
  }

  def find_class(self, module: str, name: str) -> Any:
    """Returns an allowed global, a new object each time.

    New, because a pickle may set attributes of it.
    """
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
        # An empty value, in protocols before the third.
        '__builtin__.bytes': lambda: b'',
        'numpy.ndarray': 'ndarray',
        'numpy.dtype': lambda code, *_: PickledDtype(code),
      }
      for numpy in ('numpy.core', 'numpy._core'):
        allowed |= {
          f'{numpy}.multiarray._reconstruct': lambda *_: PickledArray(),
          f'{numpy}.multiarray.scalar': lambda dtype, content: PickledArray(
            content, dtype, ()
          ),
          f'{numpy}.numeric._frombuffer': lambda *args: PickledArray(*args[:4]),
        }
    if f'{module}.{name}' not in allowed:
      raise ReleaseError(
        f'Refused to load the global {module}.{name}. Expected only arrays, '
        'tensors and containers of them.'
      )
    return allowed[f'{module}.{name}']

  def _counted(self, content):
    """Counts content that is copied; limit: each byte decoded and read once."""
    self._copied += len(content)
    if self._copied > 2 * self._size:
      raise ReleaseError(
        f'Refused to copy the {self._size} bytes of the file again and again.'
      )
    return content

  def persistent_load(self, pid: tuple) -> Storage:
    """Returns the storage that a tensor in PyTorch's containers names."""
    kind, dtype, key, _, size, *view = pid
    storage = Storage(key, STORAGES[dtype], size)
    if kind != 'storage' or type(size) is not int or size < 0 or any(view):
      raise ReleaseError(f'{pid} is not a storage of a known kind.')
    if self.storages.setdefault(key, storage) != storage:
      raise ReleaseError(f'Storage {key} has two types or sizes.')
    return storage
