"""Memory that is used again: clearing new pages may take longer than reading.

A record of an untrimmed video has megabytes, which pass through several
buffers, and a batch of their clips hundreds.
"""

import ctypes
import math
import weakref

import numpy as np

ALIGNMENT = 64  # bytes; TensorFlow copies arrays that are not aligned so
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_KEPT, _LARGEST = 1 << 28, 1 << 25  # bytes


def keep_freed() -> None:
  """Lets malloc keep up to 256 MB it was given back, in pieces up to 32 MB.

  Does nothing where the C library is not glibc.
  """
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except (AttributeError, OSError, TypeError):
    return
  mallopt(_MMAP_THRESHOLD, _LARGEST)
  mallopt(_TRIM_THRESHOLD, _KEPT)


class Arrays:
  """Makes arrays in the memory of those that nobody refers to any more.

  It keeps, of each size in bytes, as much memory as its arrays of that size
  had at one time. Several threads may call it.
  """

  def __init__(self):
    """Begins without memory."""
    self._unused: dict[int, list[np.ndarray]] = {}

  def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array as of np.empty, aligned so that TensorFlow need not copy it."""
    size = math.prod(shape) * dtype.itemsize
    unused = self._unused.setdefault(size, [])
    try:
      memory = unused.pop()
    except IndexError:
      memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    # All views of it, and theirs, refer to this array: NumPy lets them refer
    # to the last array of the chain, and a memoryview is none.
    array = np.frombuffer(memoryview(memory), np.uint8, size, start)
    weakref.finalize(array, unused.append, memory).atexit = False
    return array.view(dtype).reshape(shape)
