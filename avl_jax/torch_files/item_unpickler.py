"""Unpickles a large dictionary item by item, with the same allow-list."""

import pickle
import struct
import sys
from collections.abc import Callable, Iterator, Set
from typing import Any, ClassVar, cast

import numpy as np

from avl_jax.torch_files import pickle_scan, tensors
from avl_jax.torch_files.errors import ReleaseError
from avl_jax.torch_files.unpickler import Copies, Unpickler
from avl_jax.torch_files.window import Window

LARGEST_SHARED = 2**30  # bytes of memory of the values that batches share
_RUN = np.dtype([('opcode', 'u1'), ('value', '>f8')])
_STRINGS = {pickle.BINUNICODE[0]: 4, pickle.SHORT_BINUNICODE[0]: 1}
_FLOAT, _MEMOIZE = pickle.BINFLOAT[0], pickle.MEMOIZE[0]
_LONG_BINPUT, _STOP = pickle.LONG_BINPUT[0], pickle.STOP[0]


class ItemUnpickler(Unpickler):
  """Forgets each batch of items (see `pickle_scan`) after it was returned.

  Frequent opcodes are run in a loop of its own, the others by `Unpickler`.
  """

  # Set by the library.
  _file_read: Callable[[int], bytes]
  _file_readline: Callable[[], bytes]

  def __init__(
    self,
    window: Window,
    size: int,
    load_storage: Callable[[bytes], tensors.Storage],
    shared: Set[int],
  ):
    """Sets the file.

    Args:
      window: of the file, at its beginning.
      size: of the file in bytes.
      load_storage: as for `Unpickler`.
      shared: as `pickle_scan` returns it.
    """
    self._copies = Copies(size, pickle_scan.LARGEST_BATCH)
    super().__init__(cast(Any, window), size, load_storage, self._copies)
    self._window, self._size = window, size
    # What the library's `load` sets.
    self.read, self.readline = self._file_read, self._file_readline
    self.stack, self.metastack = [], []
    self.append = self.stack.append
    self.memo = self._memo = _Memo(shared, size)
    self._memoized = 0  # by opcodes that count

  def __iter__(self) -> Iterator[tuple[Any, Any]]:
    """Yields (key, value) of the dictionary, converted by `tensors`."""
    opcode = 0
    while opcode != _STOP:
      opcode = self._run()
      yield from self._take().items()

  def _take(self) -> dict:
    """Takes the batch out of the dictionary and forgets what it needed."""
    outer = self.stack[-1]
    if not isinstance(outer, dict):
      raise ReleaseError(
        f'Expected a dictionary, got a {type(outer).__name__}.'
      )
    batch = tensors.to_arrays(outer, {}, self._size)
    outer.clear()
    self._memo.forget()
    self._copies.recent = 0
    return batch

  def _run(self) -> int:
    """Runs opcodes to the end of a batch or the pickle; returns the last."""
    window, memo, dispatch = self._window, self._memo, self.dispatch
    while True:
      window.move(window.at)
      content, at, stack = window.content, window.at, self.stack
      end = len(content) - (0 if window.is_last else pickle_scan.MARGIN)
      if at >= end:
        raise EOFError('it has no end')
      while at < end:
        opcode = content[at]
        if width := _STRINGS.get(opcode):
          first = at + 1 + width
          last = first + int.from_bytes(content[at + 1 : first], 'little')
          if last <= len(content):
            stack.append(str(content[first:last], 'utf-8', 'surrogatepass'))
            at = last
            continue
        elif opcode == _MEMOIZE:
          memo[self._memoized] = stack[-1]
          self._memoized += 1
          at += 1
          continue
        elif opcode == _LONG_BINPUT and at + 5 <= len(content):
          memo[int.from_bytes(content[at + 1 : at + 5], 'little')] = stack[-1]
          at += 5
          continue
        elif opcode == _FLOAT and (
          run := pickle_scan.FLOATS.match(content, at)
        ):
          count = (run.end() - at) // 9
          stack += np.frombuffer(content, _RUN, count, at)['value'].tolist()
          at = run.end()
          continue
        window.at = at + 1
        if opcode == _STOP:
          return opcode
        dispatch[opcode](self)
        stack = self.stack
        is_outer = not self.metastack and len(stack) == 1
        if is_outer and opcode in pickle_scan.SETS:
          return opcode
        if window.content is not content:
          break
        at = window.at
      else:
        window.at = at

  def load_frame(self) -> None:
    """Ignores a frame, which only says how many bytes to read at once."""
    (size,) = struct.unpack('<Q', self.read(8))
    if size > self._size:
      raise EOFError(f'a frame of {size} bytes; the file has {self._size}')

  def load_float(self) -> None:
    """Reads a run of lines at once, if they are appended to a list."""
    content, at = self._window.content, self._window.at
    run = pickle_scan.FLOAT_LINES.match(content, at - 1)
    if run and self.stack and type(self.stack[-1]) is list:
      texts = content[at : run.end() - len('\na')].split(b'\naF')
      self.stack[-1].extend(map(float, texts))
      self._window.at = run.end()
    else:
      Unpickler.dispatch[pickle.FLOAT[0]](self)

  dispatch: ClassVar[dict[int, Any]] = Unpickler.dispatch | {
    pickle.FRAME[0]: load_frame,
    pickle.FLOAT[0]: load_float,
  }

  def _memoize(self, index: int) -> None:
    """Keeps a value in a dictionary, whose size no index changes."""
    self.memo[index] = self.stack[-1]


class _Memo(dict[int, Any]):
  """Number -> value of this batch, or of an earlier one if it is shared."""

  def __init__(self, shared: Set[int], size: int):
    super().__init__()
    self._shared, self._values, self._size = shared, {}, size
    self._memory = 0  # bytes of the values

  def __missing__(self, number: int) -> Any:
    return self._values[number]

  def forget(self) -> None:
    """Ends a batch: keeps the shared values only."""
    made = {number: self[number] for number in self.keys() & self._shared}
    self._memory += _memory([*made.values()])
    if self._memory > LARGEST_SHARED:
      raise ReleaseError(
        f'Values that occur in several items take more than {LARGEST_SHARED} '
        'bytes of memory. Write the dictionary as JSON.'
      )
    self._values |= {number: self._finished(made[number]) for number in made}
    self.clear()

  def _finished(self, value: Any) -> Any:
    """Converts a container, once, and protects it from later opcodes.

    Others, such as a dtype and the arguments of a call, stay as they are.
    """
    containers = (dict, list, tuple)
    if not isinstance(value, containers) or (
      isinstance(value, tuple)
      and len(value) < 16
      and not any(isinstance(item, containers) for item in value)
    ):
      return value
    return tensors.convert(value, {}, self._size)


def _memory(values: list) -> int:
  """Bytes of memory of values and all that they hold."""
  sizes: dict[int, int] = {}
  while values:
    value = values.pop()
    if id(value) in sizes:
      continue
    sizes[id(value)] = sys.getsizeof(value) + 100  # and its place
    if isinstance(value, dict):
      values += [*value, *value.values()]
    elif isinstance(value, tensors.PickledArray):
      values += vars(value).values()
    elif isinstance(value, (list, tuple)):
      values += value
  return sum(sizes.values())
