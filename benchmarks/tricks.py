"""Optimisations of the loader, and how to disable each of them."""

import contextlib
import ctypes
from collections.abc import Callable
from unittest import mock

import numpy as np

from avl_jax.features import clips

SPLITS = 'input_pipeline.records.splits'
FLOAT16 = 'avl_jax.features.float16'
BUFFERS = 'input_pipeline.records.buffers'
COMPRESSED = 'records compressed with Zstandard'


def _convert(array: np.ndarray, out: np.ndarray) -> None:
  out[...] = array


def _usual_malloc() -> contextlib.AbstractContextManager:
  mallopt = ctypes.CDLL(None).mallopt
  mallopt(-3, 1 << 17)  # M_MMAP_THRESHOLD, its default
  mallopt(-1, 1 << 17)  # M_TRIM_THRESHOLD, likewise
  return contextlib.nullcontext()


def _patch(name: str, value) -> Callable:
  return lambda: mock.patch(name, value)


# Name of the replacement -> function returning a context that applies it.
WITHOUT = {
  'unchanged': contextlib.nullcontext,
  COMPRESSED: contextlib.nullcontext,
  'all records of a batch read in one call': _patch(
    f'{SPLITS}.BYTES_PER_READ', 1 << 60
  ),
  "TFDS' own decoding": _patch(
    f'{SPLITS}.Decoder',
    lambda features: features.deserialize_example_np,
  ),
  "NumPy's float16 to float32": _patch(f'{FLOAT16}.to_float32', _convert),
  'maxima in float16': _patch(
    f'{FLOAT16}.window_maxima',
    lambda array, windows: np.stack(
      [array[slice(*window)].max(0).astype(np.float32) for window in windows]
    ),
  ),
  'maxima in float32': _patch(
    f'{FLOAT16}.window_maxima',
    lambda array, windows: np.stack(
      [array[slice(*window)].astype(np.float32).max(0) for window in windows]
    ),
  ),
  'each window cut by itself': _patch(
    'input_pipeline.transforms.cutters.cut_clips',
    lambda example, starts, *args: (
      clips.cut_clip(example, start, *args) for start in starts
    ),
  ),
  'new memory for each batch': _patch(
    f'{BUFFERS}.ArrayPool.empty',
    lambda _, shape, dtype: np.empty(shape, dtype),
  ),
  "malloc's usual thresholds": _usual_malloc,
  'numbers not checked to be finite': _patch(
    f'{SPLITS}.find_defect', lambda _: ''
  ),
}
