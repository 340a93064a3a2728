"""Memory that this process shares with its worker processes, on Linux.

Each piece is a file in memory that has no name. A worker process opens it as a
descriptor of its parent. The system frees it when the last process that has it
ends, however that ends. Unlike a file in /dev/shm, it is not limited by the
size of a file system, which is 64 MB in many containers.
"""

import dataclasses
import functools
import itertools
import mmap
import os
import sys
import weakref

import numpy as np

from avl_jax.errors import ConfigError, UserError

_NUMBERS = itertools.count()  # tell files that get the same descriptor


@dataclasses.dataclass(frozen=True)
class SharedArray:
  """Description of an array in shared memory, for another process.

  Attributes:
    path: of the file: a descriptor of the process that made it.
    number: of the file, counted in that process.
    shape: of the array.
    dtype: of the array.
  """

  path: str
  number: int
  shape: tuple[int, ...]
  dtype: np.dtype

  def open(self) -> np.ndarray:
    """The array: what one process writes to it, the other one reads."""
    memory = _mapped(self.path, self.number)
    array = np.ndarray(self.shape, self.dtype, memory)
    return array


@functools.lru_cache(maxsize=64)  # the arrays of more batches than there are
def _mapped(path: str, number: int) -> mmap.mmap:
  del number
  descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
  try:
    return mmap.mmap(descriptor, 0)
  finally:
    os.close(descriptor)


class SharedMemory:
  """Memory of this process that others can open; `allocate` makes a piece.

  Example:
    memory = SharedMemory()
    array = ArrayPool(memory.allocate).empty((3, 4), np.dtype('f4'))
    description = memory.describe(array)  # In the other process: .open().
  """

  def __init__(self):
    """Makes nothing yet.

    Raises:
      ConfigError: the system is not Linux.
    """
    if sys.platform != 'linux':
      raise ConfigError(
        'train_data.processes is not 0, and this system is not Linux. Worker '
        "processes share memory in Linux' way. Set train_data.processes=0."
      )
    # Address -> descriptor and number of the file.
    self._files: dict[int, tuple[int, int]] = {}
    weakref.finalize(self, _close, self._files)

  def allocate(self, size: int) -> mmap.mmap:
    """Makes `size` bytes of shared memory, which exist from now on.

    Raises:
      UserError: there is not as much.
    """
    descriptor = os.memfd_create('avl_jax')
    try:
      # Without this, writing to memory that is full would kill the process.
      os.posix_fallocate(descriptor, 0, size)
      memory = mmap.mmap(descriptor, size)
    except OSError as error:
      os.close(descriptor)
      raise UserError(
        f'{size / 2**20:,.0f} MiB of memory for a batch cannot be had: '
        f'{error.strerror}. Expected memory for the batches that are ready or '
        'in the making. Choose a smaller train_data.batch_size, or free memory.'
      ) from error
    address = np.frombuffer(memory, np.uint8).ctypes.data
    self._files[address] = descriptor, next(_NUMBERS)
    return memory

  def describe(self, array: np.ndarray) -> SharedArray:
    """Describes an array at the start of a piece."""
    descriptor, number = self._files[array.ctypes.data]
    path = f'/proc/{os.getpid()}/fd/{descriptor}'
    return SharedArray(path, number, array.shape, array.dtype)


def _close(files: dict[int, tuple[int, int]]) -> None:
  for descriptor, _ in files.values():
    os.close(descriptor)
