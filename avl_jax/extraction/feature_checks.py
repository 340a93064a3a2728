"""Checks what a network has made of a video before it is kept."""

import pathlib

import numpy as np

from avl_jax.features import NetworkError, UnexpectedError


def checked(
  path: pathlib.Path, stream: str, rows: np.ndarray, width: int
) -> np.ndarray:
  """Features of a stream, as float16.

  Args:
    path: of the video, for messages.
    stream: name of the features.
    rows: [S, V] of any floating-point type; S may be 0.
    width: V that is expected.

  Raises:
    NetworkError: they have another shape.
    UnexpectedError: they are not finite. Perhaps those of all files are not,
      see `Skipped`.
  """
  array = np.asarray(rows, np.float16)
  if array.ndim != 2 or array.shape[1] != width:
    raise NetworkError(
      f'{path}: {stream} has the shape {array.shape}. Expected '
      f'[seconds, {width}].'
    )
  if not np.isfinite(array).all():
    raise UnexpectedError(f'{path}: {stream} has infinite or NaN values.')
  return array
