"""Tensors and arrays of a pickle, and their conversion to NumPy arrays."""

import math
import typing
from collections.abc import Mapping
from typing import Any, Literal

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
_ByteOrder = Literal['<', '=', '>', '|']
_SCALARS = (str, bytes, bytearray, int, float, type(None))
_PLAIN = {*_SCALARS, bool}


class Storage(typing.NamedTuple):
  """The flat memory of tensors; `content` is None until it is read."""

  key: str
  dtype: type
  size: int  # in elements
  content: np.ndarray | None = None


class Tensor(typing.NamedTuple):
  """A view of a storage, not checked before `tensor_array`."""

  storage: Storage
  offset: int  # in elements, as the strides
  shape: tuple[int, ...]
  strides: tuple[int, ...]

  def __setstate__(self, state):
    """Ignores (requires_grad, ...), which old files attach to parameters."""


class PickledDtype:
  """A NumPy dtype, built from its code, then its byte order."""

  def __init__(self, code: str):
    self.code = code
    self.order: _ByteOrder = '='

  def __setstate__(self, state):
    self.order = state[1]

  def dtype(self) -> np.dtype:
    """Returns the dtype; ReleaseError unless it is one of numbers."""
    if self.code not in _NUMBERS:
      raise ReleaseError(
        f'Refused an array of dtype {self.code!r}. Expected numbers.'
      )
    return np.dtype(self.code).newbyteorder(self.order)


class PickledArray:
  """A NumPy array, built from its content, dtype, shape and order."""

  def __init__(
    self,
    content: bytes = b'',
    dtype: PickledDtype | None = None,
    shape: tuple[int, ...] = (0,),
    order: Literal['C', 'F'] = 'C',
  ):
    self._content, self._dtype = content, dtype
    self._shape = shape
    self._order: Literal['C', 'F'] = order

  def __setstate__(self, state):
    _, self._shape, self._dtype, fortran, self._content = state
    self._order = 'F' if fortran else 'C'

  def array(self) -> np.ndarray:
    """Returns the array; ReleaseError if its content does not fit its shape."""
    if self._dtype is None:
      raise ReleaseError('The file has an array without a dtype.')
    dtype = self._dtype.dtype()
    _check_counts(self._shape)
    needed = math.prod(self._shape) * dtype.itemsize
    if needed != len(self._content):
      raise ReleaseError(
        f'An array of shape {self._shape} needs {needed} bytes, but the file '
        f'has {len(self._content)}.'
      )
    flat = np.frombuffer(self._content, dtype)
    return flat.reshape(self._shape, order=self._order)


class Converted(typing.NamedTuple):
  """A value that `to_arrays` returned before, within a new one."""

  value: Any


def to_arrays(value: object, contents: Mapping[str, np.ndarray]) -> Any:
  """Replaces the tensors and arrays of an unpickled value by NumPy arrays.

  Args:
    value: containers of scalars, tensors and NumPy arrays.
    contents: key -> flat array of a storage.

  Returns:
    The same containers with read-only arrays.

  Raises:
    ReleaseError: the value contains anything else, or an array reaches beyond
      its storage.
  """
  # Shared values are converted once, else the result could grow exponentially.
  converted = {}

  def visit(value):
    if isinstance(value, Converted):
      return value.value
    if id(value) not in converted:
      # The value is kept too, so that its id is not used again.
      converted[id(value)] = value, convert(value)
    return converted[id(value)][1]

  def convert(value):
    if isinstance(value, Tensor):
      return tensor_array(value, contents)
    if isinstance(value, PickledArray):
      return value.array()
    if isinstance(value, dict) and all(isinstance(k, _SCALARS) for k in value):
      return {key: visit(item) for key, item in value.items()}
    if type(value) in (list, tuple):
      is_plain = _PLAIN.issuperset(map(type, value))  # as most long lists are
      return type(value)(value if is_plain else map(visit, value))
    if isinstance(value, _SCALARS):
      return value
    raise ReleaseError(
      f'{value!r} is neither a scalar nor an array nor a container.'
    )

  try:
    return visit(value)
  finally:
    converted.clear()  # The functions form a circle, which lives on.


def tensor_array(
  tensor: Tensor, contents: Mapping[str, np.ndarray]
) -> np.ndarray:
  """Returns a tensor as a read-only view of its storage.

  Raises:
    ReleaseError: the tensor reaches beyond its storage, or has more elements.
  """
  storage, offset, shape, strides = tensor
  flat = storage.content
  flat = contents[storage.key] if flat is None else flat
  _check_counts((offset, *shape, *strides))
  if len(shape) != len(strides):
    raise ReleaseError(
      f'A tensor has the shape {shape} but the strides {strides}.'
    )
  if 0 in shape:
    return np.zeros(shape, flat.dtype)
  last = offset + sum(
    (n - 1) * stride for n, stride in zip(shape, strides, strict=True)
  )
  if last >= flat.size or math.prod(shape) > flat.size:
    raise ReleaseError(
      f'A tensor of shape {shape} with strides {strides} at {offset} reaches '
      f'beyond its storage of {flat.size} elements.'
    )
  return np.lib.stride_tricks.as_strided(
    flat[offset:],
    shape,
    [stride * flat.itemsize for stride in strides],
    writeable=False,
  )


def _check_counts(counts: tuple) -> None:
  if any(type(count) is not int or count < 0 for count in counts):
    raise ReleaseError(f'{counts} are not sizes of an array.')
