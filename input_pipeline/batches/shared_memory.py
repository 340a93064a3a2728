"""Memory that this process shares with its worker processes, on Linux.

Each piece is a file in memory that has no name. A worker process opens it as a
descriptor of its parent. The system frees it when the last process that has it
ends, however that ends. Unlike a file in /dev/shm, it is not limited by the
size of a file system, which is 64 MB in many containers.
"""

import dataclasses
import functools
import mmap
import os
import sys
import weakref

import numpy as np

from avl_jax.errors import ConfigError, UserError


@dataclasses.dataclass(frozen=True)
class SharedArray:
  """Description of an array in shared memory, for another process.

  Attributes:
    path: of the file: a descriptor of the process that made it.
    file: device and inode of the file, which tell files apart that get the
      same descriptor one after the other.
    shape: of the array.
    dtype: of the array.
  """

  path: str
  file: tuple[int, int]
  shape: tuple[int, ...]
  dtype: np.dtype

  def open(self) -> np.ndarray:
    """The array: what one process writes to it, the other one reads.

    Raises:
      RuntimeError: the process that made it has closed it.
    """
    memory = _mapped(self.path, self.file)
    return np.ndarray(self.shape, self.dtype, memory)


@functools.lru_cache(maxsize=64)  # the arrays of more batches than there are
def _mapped(path: str, file: tuple[int, int]) -> mmap.mmap:
  descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
  try:
    if _identity(descriptor) != file:
      raise RuntimeError(f'{path} is no longer the memory of this batch.')
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
    self._files: dict[int, int] = {}  # address -> descriptor of the file
    weakref.finalize(self, _close, self._files)

  def allocate(self, size: int) -> mmap.mmap:
    """Makes `size` bytes of shared memory, which exist from now on.

    Raises:
      UserError: there is not as much.
    """
    descriptor = None
    try:
      descriptor = os.memfd_create('avl_jax')
      # Without this, writing to memory that is full would kill the process.
      os.posix_fallocate(descriptor, 0, size)
      memory = mmap.mmap(descriptor, size)
    except OSError as error:
      if descriptor is not None:
        os.close(descriptor)
      raise UserError(
        f'{size / 2**20:,.0f} MiB of memory for a batch cannot be had: '
        f'{error.strerror}. Expected memory for the batches that are ready or '
        'in the making. Choose a smaller train_data.batch_size, or free memory.'
      ) from error
    address = np.frombuffer(memory, np.uint8).ctypes.data
    self._files[address] = descriptor
    return memory

  def describe(self, array: np.ndarray) -> SharedArray:
    """Describes an array at the start of a piece."""
    descriptor = self._files[array.ctypes.data]
    path = f'/proc/{os.getpid()}/fd/{descriptor}'
    return SharedArray(path, _identity(descriptor), array.shape, array.dtype)


def _identity(descriptor: int) -> tuple[int, int]:
  stat = os.fstat(descriptor)
  return stat.st_dev, stat.st_ino


def _close(files: dict[int, int]) -> None:
  for descriptor in files.values():
    os.close(descriptor)
