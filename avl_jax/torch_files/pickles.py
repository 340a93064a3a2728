"""Reads plain pickles: lists of clips with tensors and arrays, captions."""

import io
import os
import pathlib
from typing import Any

from avl_jax.torch_files import checkpoint as torch_checkpoint
from avl_jax.torch_files import errors, tensors
from avl_jax.torch_files.unpickler import Unpickler


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


def _load_storage(content: bytes) -> tensors.Storage:
  """Reads a storage that is pickled as a PyTorch file of its own."""
  storage, arrays = torch_checkpoint.read(io.BytesIO(content), len(content))
  return storage._replace(content=arrays[storage.key])
