"""Plain pickles: lists of clips with tensors and arrays inside, captions."""

import io
import os
import pathlib

from avl_jax.torch_files import checkpoint as torch_checkpoint
from avl_jax.torch_files import unpickler as torch_unpickler
from avl_jax.torch_files.errors import ReleaseError


def read_pickle(path: str | os.PathLike):
  """Reads what `pickle.dump` wrote of scalars, arrays, tensors, containers.

  For the release's feature files (`youcook_train_audio.pkl`, ...: a list of a
  dictionary a clip) and captions (`caption.pickle`).

  Args:
    path: of the file; all of it is held in memory.

  Returns:
    The containers, with arrays for arrays and tensors, mostly read-only.

  Raises:
    ReleaseError: the file names a global outside the allow-list, which is
      not called; or is truncated or damaged.
    OSError: the file cannot be opened.
  """
  path = pathlib.Path(path)
  with path.open('rb') as file:
    try:
      size = os.fstat(file.fileno()).st_size
      unpickler = torch_unpickler.Unpickler(file, size, _load_storage)
      return torch_unpickler.settle(unpickler.load(), {})
    except ReleaseError as error:
      raise ReleaseError(f'{path}: {error}') from None
    # A damaged pickle may raise anything.
    except Exception as error:
      raise ReleaseError(
        f'{path}: truncated, damaged or not a pickle ({error!r})'
      ) from error


def _load_storage(content: bytes) -> torch_unpickler.Storage:
  """A storage on its own is pickled as a whole PyTorch file."""
  storage, arrays = torch_checkpoint.read(io.BytesIO(content), len(content))
  return storage._replace(content=arrays[storage.key])
