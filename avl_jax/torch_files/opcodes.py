"""The interpreter of pickles, with a limited time and memory per byte.

It is the standard library's Python version, because the C version allocates a
memo of whatever size a pickle claims. What would take much more than its size
is refused: claims of sizes; keys whose hashes were made to collide; keys that
are long or nested; calls with arguments that are as long as the file.
"""

import pickle
import struct
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any, ClassVar, NamedTuple

from avl_jax.torch_files.errors import ReleaseError

KEY_LENGTH = 4096  # characters of a key
# Entries of a dictionary with integers among its keys. PyTorch's optimizers
# have one per parameter: its index, or before PyTorch 1.6 its address in
# memory. Crafted integers of any size collide and make a dictionary quadratic;
# this many take 4 us each, no longer than to read them.
_INTEGER_KEYS = 4096
_ARGUMENTS = 8  # of a call; PyTorch's have seven
# What no writer of the files uses: sets, other objects, extensions.
_REFUSED = (
  *('EMPTY_SET', 'ADDITEMS', 'FROZENSET', 'NEXT_BUFFER', 'READONLY_BUFFER'),
  *('INST', 'OBJ', 'NEWOBJ', 'NEWOBJ_EX', 'EXT1', 'EXT2', 'EXT4', 'PERSID'),
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


class Interpreter(pickle._Unpickler):
  """Builds containers of scalars; a subclass decides what globals stand for."""

  # Set by the library's `load`.
  read: Callable[[int], bytes]
  readline: Callable[[], bytes]
  append: Callable[[object], None]
  pop_mark: Callable[[], list]
  stack: list
  memo: dict[int, Any]

  def __init__(self, file: IO[bytes], size: int):
    """Sets the file.

    Args:
      file: positioned at the beginning of the pickle.
      size: of the file in bytes, the limit of a single read.
    """
    super().__init__(_BoundedFile(file, size))

  def _bytearray8(self) -> None:
    """Reads before memory is allocated, unlike the library's version."""
    (size,) = struct.unpack('<Q', self.read(8))
    self.append(self.read(size))

  def _dict(self) -> None:
    items = self.pop_mark()
    self.append(update({}, items))

  def _setitem(self) -> None:
    value, key = self.stack.pop(), self.stack.pop()
    update(self.stack[-1], [key, value])

  def _setitems(self) -> None:
    items = self.pop_mark()
    update(self.stack[-1], items)

  def _reduce(self) -> None:
    arguments = self.stack.pop()
    if type(arguments) is not tuple or len(arguments) > _ARGUMENTS:
      raise ReleaseError(
        f'Refused a call with other than at most {_ARGUMENTS} arguments.'
      )
    self.stack[-1] = self.stack[-1](*arguments)

  def _build(self) -> None:
    """Sets the state of our own classes; drops attributes of dictionaries."""
    state = self.stack.pop()
    if type(self.stack[-1]) is not OrderedDict:
      self.stack[-1].__setstate__(state)

  def _put(self) -> None:
    self._memoize(int(self.readline()))

  def _binput(self) -> None:
    self._memoize(self.read(1)[0])

  def _long_binput(self) -> None:
    (index,) = struct.unpack('<I', self.read(4))
    self._memoize(index)

  def _memoize(self, index: int) -> None:
    """Keeps a value; indices count from 0, or from 1 in Python 2."""
    if not 0 <= index <= len(self.memo) + 1:
      raise ReleaseError('The values to remember are not numbered in order.')
    self.memo[index] = self.stack[-1]

  def _refuse(self) -> None:
    raise ReleaseError(
      'Refused a set or an object. Expected only arrays, tensors and lists, '
      'tuples and dictionaries of them.'
    )

  dispatch: ClassVar[dict[int, Any]] = (
    pickle._Unpickler.dispatch
    | dict.fromkeys((getattr(pickle, name)[0] for name in _REFUSED), _refuse)
    | {
      pickle.BYTEARRAY8[0]: _bytearray8,
      pickle.DICT[0]: _dict,
      pickle.SETITEM[0]: _setitem,
      pickle.SETITEMS[0]: _setitems,
      pickle.REDUCE[0]: _reduce,
      pickle.BUILD[0]: _build,
      pickle.PUT[0]: _put,
      pickle.BINPUT[0]: _binput,
      pickle.LONG_BINPUT[0]: _long_binput,
    }
  )


def update(target: object, items: list) -> dict:
  """Enters items [key, value, key, value, ...] into a dictionary."""
  if not isinstance(target, dict):
    raise ReleaseError('Refused to set an item of other than a dictionary.')
  for key, value in zip(items[::2], items[1::2], strict=True):
    _check_key(key, len(target))
    target[key] = value
  return target


def _check_key(key: object, entries: int) -> None:
  """Raises ReleaseError if a dictionary of many entries should not have it."""
  # Types are compared first: the hash of nested tuples may take for ever.
  if type(key) is str:
    if len(key) > KEY_LENGTH:
      raise ReleaseError(
        f'Refused a key of {len(key)} characters. Expected at most '
        f'{KEY_LENGTH}.'
      )
  elif type(key) is not int or abs(key) >= sys.hash_info.modulus:
    raise ReleaseError(
      f'Refused a key of type {type(key).__name__}. Expected strings and '
      f'integers of at most {sys.hash_info.modulus.bit_length()} bits.'
    )
  elif entries >= _INTEGER_KEYS:
    raise ReleaseError(
      f'Refused an integer as a key of a dictionary of {entries} entries. '
      f'Expected strings in one of {_INTEGER_KEYS} or more.'
    )
