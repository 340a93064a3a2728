"""Files that keep extracted features: one .npz for each piece of a video."""

import hashlib
import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avl_jax.files import write_atomically


def file_of(folder: pathlib.Path, facts: Sequence) -> pathlib.Path:
  """Path of the file of a piece.

  Args:
    folder: of the cache.
    facts: all that determines the features, JSON values.
  """
  name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
  return folder / name[:2] / f'{name}.npz'


def read(path: pathlib.Path, names: set[str]) -> dict[str, np.ndarray]:
  """The arrays of these names of a file; {} if one of them is missing."""
  try:
    with path.open('rb') as file, np.load(file, allow_pickle=False) as cached:
      return {name: cached[name] for name in names}
  except Exception:  # A damaged file may raise anything; it is written again.
    return {}


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes the arrays of a piece.

  Raises:
    UserError: they cannot be written.
  """
  buffer = io.BytesIO()
  items: dict[str, Any] = dict(arrays)  # Any: the type of savez's own options
  np.savez(buffer, **items)
  write_atomically(path, buffer.getvalue())
