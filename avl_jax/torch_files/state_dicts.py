"""Reads and writes state dicts: safetensors, or PyTorch's checkpoints."""

import os
from collections.abc import Mapping

import numpy as np

from avl_jax.files import writing
from avl_jax.torch_files import checkpoint, safetensors_files


def read_state_dict(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads a state dict in any of three formats, known by its content.

  Args:
    path: of a safetensors file, or of a PyTorch or Apex checkpoint in either
      container (see `checkpoint.read_state_dict`).

  Returns:
    The arrays by name, in the file's order and dtypes.

  Raises:
    ReleaseError: the file is truncated, damaged or holds no state dict; or it
      is a pickle with more than arrays and containers.
    OSError: the file cannot be opened.

  Example:
    state = torch_files.read_state_dict('resnet152.safetensors')
    state['conv1.weight']  # float32 [64, 3, 7, 7]
  """
  if safetensors_files.recognise(path):
    return safetensors_files.read(path)
  return checkpoint.read_state_dict(path)


def write_state_dict(
  path: str | os.PathLike, state: Mapping[str, np.ndarray]
) -> None:
  """Writes a state dict for PyTorch.

  Args:
    path: of the file; an existing file is replaced atomically. The format is
      safetensors if it ends in `.safetensors`, else PyTorch's legacy container.
    state: arrays by name, of the dtypes in `tensors.STORAGES`.

  Raises:
    UserError: the file cannot be written.
  """
  if safetensors_files.is_named(path):
    safetensors_files.write(path, state)
  else:
    with writing(path):
      checkpoint.write_state_dict(path, state)
