"""Cuts many windows of a video, in few calls of NumPy.

Each call holds Python's lock for a while, so the threads of a loader wait for
the calls of the others. The long part of a call does not hold it.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from avl_jax.features import FEATURE_RATES, clips, float16


def cut_clips(
  example: dict, starts: Sequence[int], num_frames: int, pooling: str = 'max'
) -> Iterator[dict]:
  """Yields what `clips.cut_clip` returns for each start, to the bit.

  Args:
    example: see `clips.cut_clip`.
    starts: seconds.
    num_frames: frames of a clip.
    pooling: see `clips.pool_visual`.
  """
  if pooling != 'max' or not len(starts):
    for start in starts:
      yield clips.cut_clip(example, start, num_frames, pooling)
    return
  seconds = clips.whole_seconds(num_frames)
  windows = [(start, start + seconds) for start in starts]
  for start, visual in zip(starts, _pool(example, windows), strict=True):
    frames = example['spectrogram'][clips.time_to_frame(start) :]
    yield {
      'spectrogram': clips.pad_or_crop(frames, num_frames),
      'num_frames': np.int32(min(len(frames), num_frames)),
      'visual': visual,
    }


def _pool(example: dict, windows: Sequence[tuple[int, int]]) -> np.ndarray:
  """float32 [n, V]: `clips.pool_visual` of each window, in seconds."""
  streams = []
  for name, rate in FEATURE_RATES.items():
    if name in example:
      rows = [(int(s * rate), int(end * rate) + 1) for s, end in windows]
      maxima = float16.window_maxima(example[name], rows)
      # One by one: products of all rows may add in another order.
      squares = np.array([row.dot(row) for row in maxima])
      maxima /= np.maximum(np.sqrt(squares), np.float32(1e-12))[:, None]
      streams.append(maxima)
  return np.concatenate(streams, axis=1)
