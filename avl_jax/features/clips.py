"""Cuts, pads, pools and normalises the clips of an example; numpy."""

import math
from collections.abc import Sequence

import numpy as np

from avl_jax.features import (
  FEATURE_RATES,
  HOP_LENGTH,
  SAMPLE_RATE,
  WINDOW_LENGTH,
  float16,
)

_RATE = SAMPLE_RATE // HOP_LENGTH  # frames of a spectrogram a second


def pad_or_crop(spectrogram: np.ndarray, num_frames: int) -> np.ndarray:
  """Crops a spectrogram to `num_frames` or pads it with zeros at the end.

  Zero is 0 dB, the loudest value of a file, as in the release: pooling must be
  masked where that matters.

  Args:
    spectrogram: [T, 40] dB, of any floating-point type.
    num_frames: length of the result.

  Returns:
    float32 [num_frames, 40].
  """
  padded = np.empty((num_frames, spectrogram.shape[1]), np.float32)
  length = min(len(spectrogram), num_frames)
  float16.to_float32(spectrogram[:length], padded[:length])
  padded[length:] = 0
  return padded


def choose_streams(example: dict, streams: Sequence[str]) -> dict:
  """Returns the example without the visual streams not in `streams`."""
  return {
    name: value
    for name, value in example.items()
    if name not in FEATURE_RATES or name in streams
  }


def pool_visual(
  example: dict, start: float = 0, end: float = np.inf, pooling: str = 'max'
) -> np.ndarray:
  """The features from `start` to `end` seconds as one, L2-normalised.

  Args:
    example: with visual_2d [S, V] and/or visual_3d [S', V'] at one and 1.5
      features a second.
    start: seconds; whole seconds for the release's windows.
    end: seconds; the feature at `end` is included.
    pooling: 'max', the maximum of each dimension; or 'centre', the feature in
      the middle of what the video has in the window: of one frame, and of 16
      frames in 3-D.

  Returns:
    float32 [V + V']: each stream normalised by itself (eps 1e-12), 2-D first;
    a stream without features in the window is zero.
  """
  streams = []
  for name, rate in FEATURE_RATES.items():
    if name not in example:
      continue
    features = example[name]
    last = len(features) if np.isinf(end) else int(end * rate) + 1
    window = features[int(start * rate) : last]
    if len(window) and pooling == 'centre':
      middle = int((start * rate + min(end * rate, len(features))) / 2)
      window = features[middle : middle + 1]
    if len(window):
      pooled = float16.column_maxima(window)
    else:
      pooled = np.zeros(features.shape[1], np.float32)
    streams.append(pooled / max(np.sqrt(pooled.dot(pooled)), 1e-12))
  return np.concatenate(streams)


def length(example: dict) -> float:
  """Seconds that both the sound and the pictures of an example have."""
  return min(
    len(example['spectrogram']) / _RATE,
    *(len(example[s]) / r for s, r in FEATURE_RATES.items() if s in example),
  )


def trim(example: dict, seconds: float) -> dict:
  """Cuts off the rows of an example that begin after some seconds."""
  ends = {'spectrogram': math.ceil(seconds * _RATE)}
  ends |= {s: math.ceil(seconds * rate) for s, rate in FEATURE_RATES.items()}
  return {name: array[: ends[name]] for name, array in example.items()}


def time_to_frame(seconds: float) -> int:
  """Frame at a time, as librosa.time_to_frames with n_fft=400; 0 at least.

  In the release, times before 0.0125 s become negative, and its caption
  windows then read from the end of the spectrogram; here they are clamped to 0
  everywhere.
  """
  return max(0, (int(seconds * SAMPLE_RATE) - WINDOW_LENGTH // 2) // HOP_LENGTH)


def whole_seconds(num_frames: int) -> int:
  """Duration of a number of frames, rounded down to whole seconds."""
  return (num_frames * HOP_LENGTH + WINDOW_LENGTH // 2) // SAMPLE_RATE


def whole_clip(example: dict, num_frames: int, pooling: str = 'max') -> dict:
  """Makes one clip of the whole recording, cropped or padded.

  Args:
    example: with spectrogram [T, 40] and visual_2d and/or visual_3d, see
      `pool_visual`, or 'picture', uint8 [224, 224, 3].
    num_frames: frames of the clip.
    pooling: see `pool_visual`.

  Returns:
    As `cut_clip`. With a 'picture', it is 'image' and replaces 'visual'.
  """
  if 'picture' in example:
    seen = {'image': example['picture']}
  else:
    seen = {'visual': pool_visual(example, pooling=pooling)}
  return _clip(example['spectrogram'], num_frames, **seen)


def cut_clip(
  example: dict, start: int, num_frames: int, pooling: str = 'max'
) -> dict:
  """Cuts `num_frames` from second `start` of an untrimmed video.

  `pooling` is that of `pool_visual`.

  Returns:
    {'spectrogram': float32 [num_frames, 40], 'num_frames': int32,
    'visual': float32 [V]}.
  """
  end = start + whole_seconds(num_frames)
  visual = pool_visual(example, start, end, pooling)
  frames = example['spectrogram'][time_to_frame(start) :]
  return _clip(frames, num_frames, visual=visual)


def cut_window(
  example: dict,
  start: float,
  end: float,
  num_frames: int,
  pooling: str = 'max',
) -> dict:
  """Cuts the window from `start` to `end` seconds of an untrimmed video.

  Args:
    example: the video.
    start: seconds.
    end: seconds.
    num_frames: frames of the clip; a longer window is cropped at its end, a
      shorter one is padded.
    pooling: see `pool_visual`.

  Returns:
    As `cut_clip`; 'visual' is pooled over the whole window.
  """
  visual = pool_visual(example, start, end, pooling)
  frames = example['spectrogram'][time_to_frame(start) : time_to_frame(end)]
  return _clip(frames, num_frames, visual=visual)


def _clip(spectrogram: np.ndarray, num_frames: int, **seen: np.ndarray) -> dict:
  return {
    'spectrogram': pad_or_crop(spectrogram, num_frames),
    'num_frames': np.int32(min(len(spectrogram), num_frames)),
    **seen,
  }
