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
_AXES = 64  # of an array
_BITS = 1024  # of an integer
# Values of a file of n bytes: at most _GROWTH * n + _SMALL.
_GROWTH, _SMALL = 100, 2**20


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
    # The hash of anything but a text may take for ever.
    if type(self.code) is not str or self.code not in _NUMBERS:
      code = self.code if type(self.code) is str else type(self.code).__name__
      raise ReleaseError(
        f'Refused an array of dtype {code!r}. Expected numbers.'
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
  """A value that was converted before, within a new one; see `convert`."""

  value: Any
  weight: int  # number of values in it, each shared part where it occurs


def to_arrays(
  value: object, contents: Mapping[str, np.ndarray], size: int
) -> Any:
  """Replaces the tensors and arrays of an unpickled value by NumPy arrays.

  A value that occurs again and again is converted once, and stays shared.

  Args:
    value: containers of scalars, tensors and NumPy arrays.
    contents: key -> flat array of a storage.
    size: of the file in bytes, which limits what the value has in all if each
      shared part is counted where it occurs: a list of the same list twice,
      nested sixty times, is a file of 240 bytes that nobody can walk through.

  Returns:
    The same containers with read-only arrays.

  Raises:
    ReleaseError: the value contains anything else, an array reaches beyond
      its storage, or shared parts make the value much larger than the file.
  """
  return convert(value, contents, size).value


def convert(
  value: object, contents: Mapping[str, np.ndarray], size: int
) -> Converted:
  """Converts a value as `to_arrays`, and counts what it holds."""
  limit = _GROWTH * size + _SMALL
  converted = {}

  def visit(value):
    if isinstance(value, _SCALARS):
      return value, _weight(value)
    if isinstance(value, Converted):
      return value
    if id(value) not in converted:
      result, weight = visit_new(value)
      if weight > limit:
        raise ReleaseError(
          f'Refused to repeat parts of the file until it holds {weight} '
          f'values. Expected at most {limit} of a file of {size} bytes.'
        )
      # The value is kept too, so that its id is not used again.
      converted[id(value)] = value, (result, weight)
    return converted[id(value)][1]

  def visit_new(value):
    if isinstance(value, Tensor | PickledArray):
      is_tensor = isinstance(value, Tensor)
      array = tensor_array(value, contents) if is_tensor else value.array()
      return array, 1 + array.size
    if isinstance(value, dict):
      items = [visit(item) for item in value.values()]
      result = dict(zip(value, (item for item, _ in items), strict=True))
    elif type(value) is list and {*map(type, value)} in ({float}, {str}):
      texts = value if type(value[0]) is str else ()  # faster than by `visit`
      return value.copy(), 1 + len(value) + sum(map(len, texts))
    elif type(value) in (list, tuple):
      items = [visit(item) for item in value]
      result = type(value)(item for item, _ in items)
    else:
      raise ReleaseError(
        f'The file has a {type(value).__name__}. Expected scalars, arrays and '
        'containers of them.'
      )
    return result, 1 + sum(weight for _, weight in items)

  result = Converted(*visit(value))
  converted.clear()  # The functions form a circle, which lives on.
  return result


def _weight(scalar: object) -> int:
  """Counts 1 and the length of a text; ReleaseError for a huge integer."""
  if isinstance(scalar, str | bytes | bytearray):
    return 1 + len(scalar)
  if isinstance(scalar, int) and scalar.bit_length() > _BITS:
    raise ReleaseError(
      f'Refused an integer of {scalar.bit_length()} bits. Expected at most '
      f'{_BITS}.'
    )
  return 1


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
  for counts in (offset,), shape, strides:
    _check_counts(counts)
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


def _check_counts(counts: object) -> None:
  """Raises ReleaseError unless these are a few sizes of a usual magnitude."""
  if (
    type(counts) is not tuple
    or len(counts) > _AXES
    or any(type(count) is not int or not 0 <= count < 2**63 for count in counts)
  ):
    raise ReleaseError(
      'The offset, shape or strides of an array are not sizes. Expected at '
      f'most {_AXES} integers from 0 to 2**63 - 1.'
    )
