"""Unpickles with an allow-list: arrays, tensors and containers.

A pickle is a program that may call any function of any module. Here it may
name only the functions that rebuild a tensor or an array. Every other global is
refused by name before it is looked up.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

from avl_jax.torch_files.errors import ReleaseError
from avl_jax.torch_files.opcodes import KEY_LENGTH, Interpreter, update
from avl_jax.torch_files.tensors import (
  STORAGES,
  PickledArray,
  PickledDtype,
  Storage,
  Tensor,
)


class Copies:
  """Counts content that is copied; limit: each byte decoded and read once.

  Attributes:
    recent: bytes since somebody set it to 0.
  """

  def __init__(self, size: int, most_recent: float = math.inf):
    """Sets the size of the file and the limit of `recent`, in bytes."""
    self._size, self._most_recent = size, most_recent
    self._copied, self.recent = 0, 0

  def __call__(self, content: Any) -> Any:
    """Returns the content; ReleaseError if too much was copied."""
    self._copied += len(content)
    self.recent += len(content)
    if self.recent > self._most_recent or self._copied > 2 * self._size:
      raise ReleaseError(
        f'Refused to copy the {self._size} bytes of the file again and again.'
      )
    return content


class Unpickler(Interpreter):
  """Builds containers of values that `tensors.to_arrays` converts.

  Attributes:
    storages: key -> storage, as named by the pickle.
  """

  def __init__(
    self,
    file: IO[bytes],
    size: int,
    load_storage: Callable[[bytes], Storage] | None = None,
    copies: Copies | None = None,
  ):
    """Sets the file.

    Args:
      file: positioned at the beginning of the pickle.
      size: of the file in bytes, the limit of a single read.
      load_storage: reads a storage that PyTorch pickled outside of its own
        containers; None: such storages and NumPy arrays are refused.
      copies: counts what is copied; None: with the limit for the file.
    """
    super().__init__(file, size)
    self.storages: dict[str, Storage] = {}
    self._allowed = _globals(copies or Copies(size), load_storage)

  def find_class(self, module: str, name: str) -> Any:
    """Returns an allowed global."""
    if f'{module}.{name}' not in self._allowed:
      raise ReleaseError(
        f'Refused to load the global {module}.{name}. Expected only arrays, '
        'tensors and containers of them.'
      )
    return self._allowed[f'{module}.{name}']

  def persistent_load(self, pid: tuple) -> Storage:
    """Returns the storage that a tensor in PyTorch's containers names."""
    if type(pid) is not tuple or len(pid) not in (5, 6):
      raise ReleaseError('A tensor does not name its storage.')
    kind, dtype, key, _, size, *view = pid
    if (
      not type(kind) is type(dtype) is type(key) is str
      or (kind, type(size)) != ('storage', int)
      or dtype not in STORAGES
      or len(key) > KEY_LENGTH
      or not 0 <= size < 2**63
      or any(view)
    ):
      raise ReleaseError('The storage of a tensor is not of a known kind.')
    storage = Storage(key, STORAGES[dtype], size)
    if self.storages.setdefault(key, storage) != storage:
      raise ReleaseError(f'Storage {key} has two types or sizes.')
    return storage


def _globals(
  counted: Copies, load_storage: Callable[[bytes], Storage] | None
) -> dict[str, Any]:
  """The allowed globals: name -> what stands for it."""

  def ordered_dict(pairs=()):
    result = OrderedDict()
    for key, value in counted(pairs):
      update(result, [key, value])
    return result

  allowed = {
    'collections.OrderedDict': ordered_dict,
    'torch._utils._rebuild_tensor': lambda *args: Tensor(*args[:4]),
    'torch._utils._rebuild_tensor_v2': lambda *args: Tensor(*args[:4]),
    'torch._utils._rebuild_parameter': lambda tensor, *_: tensor,
    'torch.nn.parameter.Parameter': lambda tensor, *_: tensor,
    **{f'torch.{storage}': storage for storage in STORAGES},
  }
  if load_storage:
    allowed |= {
      'torch.storage._load_from_bytes': lambda content: load_storage(
        counted(content)
      ),
      '_codecs.encode': lambda text, _: counted(text).encode('latin1'),
      'builtins.bytearray': lambda content=b'': bytes(counted(content)),
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
  return allowed
