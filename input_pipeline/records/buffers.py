"""Reuses array buffers: faulting in new pages can cost more than reading.

A record of an untrimmed video has megabytes, which pass through several
buffers. A batch of its clips has hundreds of megabytes.
"""

import ctypes
import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes; TensorFlow copies arrays that are not aligned to it
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt
_MAX_KEPT, _MAX_PIECE = 1 << 28, 1 << 25  # bytes


def keep_freed_memory() -> None:
  """Lets malloc keep up to 256 MB of freed memory, in pieces up to 32 MB.

  Does nothing if the C library is not glibc.
  """
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except (AttributeError, OSError, TypeError):
    return
  mallopt(_MMAP_THRESHOLD, _MAX_PIECE)
  mallopt(_TRIM_THRESHOLD, _MAX_KEPT)


def own_memory(size: int) -> np.ndarray:
  """Memory of this process: uint8 [size]."""
  return np.empty(size, np.uint8)


class ArrayPool:
  """Allocates arrays in the memory of earlier arrays that were released.

  An array is released when nothing refers to it or to its views. For each size
  in bytes, the pool keeps the memory of the largest number of arrays of that
  size that existed at one time. Several threads may use a pool.
  """

  def __init__(self, allocate: Callable[[int], Any] = own_memory):
    """Makes a pool without memory.

    Args:
      allocate: makes memory of a number of bytes: an object that has Python's
        buffer protocol and can be written to.
    """
    self._allocate = allocate
    self._unused: dict[int, list] = {}

  def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array like np.empty's, aligned so that TensorFlow need not copy it."""
    size = math.prod(shape) * dtype.itemsize
    unused = self._unused.setdefault(size, [])
    try:
      memory = unused.pop()
    except IndexError:
      memory = self._allocate(size + ALIGNMENT)
    start = -np.frombuffer(memory, np.uint8).ctypes.data % ALIGNMENT
    # Views of this array, and their views, refer to this array: NumPy lets a
    # view refer to the last array of the chain, and a memoryview is no array.
    array = np.frombuffer(memoryview(memory), np.uint8, size, start)
    finalizer = weakref.finalize(array, unused.append, memory)
    finalizer.atexit = False  # pyrefly: ignore[missing-attribute]: a property
    return array.view(dtype).reshape(shape)
