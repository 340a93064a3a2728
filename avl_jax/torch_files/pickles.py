"""Reads plain pickles: lists of clips with tensors and arrays, captions."""

import io
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from avl_jax.torch_files import checkpoint as torch_checkpoint
from avl_jax.torch_files import errors, pickle_scan, tensors
from avl_jax.torch_files.item_unpickler import ItemUnpickler
from avl_jax.torch_files.unpickler import Unpickler
from avl_jax.torch_files.window import Window

PASSES = 2  # of `pickled_items` over its file


def read_pickle(path: str | os.PathLike) -> Any:
  """Reads a pickle of scalars, arrays and tensors in containers.

  The release's feature files (`youcook_train_audio.pkl`, ...: a list with one
  dictionary per clip) and captions (`caption.pickle`) have this form.

  Args:
    path: of the file; its whole content is held in memory.

  Returns:
    The containers, with NumPy arrays in place of pickled arrays and tensors;
    most of them are read-only.

  Raises:
    ReleaseError: the file names a global outside the allow-list (it is not
      called), holds what would take much more time or memory than its size
      (see `unpickler`, `tensors.to_arrays`), or is truncated or damaged.
    OSError: the file cannot be opened.
  """
  path = pathlib.Path(path)
  with path.open('rb') as file, errors.naming(path, 'a pickle'):
    size = os.fstat(file.fileno()).st_size
    unpickler = Unpickler(file, size, _load_storage)
    return tensors.to_arrays(unpickler.load(), {}, size)


def pickled_items(
  path: str | os.PathLike, advance: Callable[[int], object] = lambda _: None
) -> Iterator[tuple[Any, Any]]:
  """Yields the items of a pickled dictionary, in bounded memory.

  The file is read twice: first `pickle_scan` finds the values that many items
  share. Held in memory are these and one batch of up to 1000 items.

  Args:
    path: of the file.
    advance: is called with the number of bytes of each piece that is read.

  Yields:
    Keys and values as `read_pickle` returns them, in the order of the file. If
    a key occurs twice, the last value is that of the dictionary.

  Raises:
    ReleaseError: as `read_pickle`; or the pickle is no dictionary, or a batch
      or the shared values would take more than a gigabyte.
    OSError: the file cannot be opened.
  """
  path = pathlib.Path(path)
  with path.open('rb') as file, errors.naming(path, 'a pickle'):
    size = os.fstat(file.fileno()).st_size
    shared = pickle_scan.shared_between_batches(Window(file, size, advance))
    file.seek(0)
    window = Window(file, size, advance)
    yield from ItemUnpickler(window, size, _load_storage, shared)


def _load_storage(content: bytes) -> tensors.Storage:
  """Reads a storage that is pickled as a PyTorch file of its own."""
  storage, arrays = torch_checkpoint.read(io.BytesIO(content), len(content))
  return storage._replace(content=arrays[storage.key])
