"""Outcome of decoding a file: arrays, or the error."""

import numpy as np

from avl_jax.features import MediaError


def stack(frames):
  """Frames as one array, which has no frame if they are none."""
  frames = list(frames)
  return np.stack(frames) if frames else np.zeros((0, 0, 0, 3), np.uint8)


def outcome(function, *args):
  """What a function returns, or the error that it raises."""
  try:
    result = function(*args)
    return result if isinstance(result, np.ndarray) else stack(result)
  except MediaError as error:
    return error
