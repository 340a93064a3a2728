"""Windows of a file: where they lie, and what the model takes of each."""

from collections.abc import Mapping, Sequence

import numpy as np

from avl_jax.features import FEATURE_RATES, HOP_LENGTH, SAMPLE_RATE, clips

_RATES = {'spectrogram': SAMPLE_RATE / HOP_LENGTH, **FEATURE_RATES}
# Sound and pictures rarely end together. What one has beyond the other is cut
# off if it lasts no longer (seconds); the features of a second are one row.
_RAGGED = 1.0
_LEAST = 1.0  # seconds of sound or of pictures that a window must have


def lay(seconds: float, window: float, step: float) -> np.ndarray:
  """Windows of a file.

  They begin every `step` seconds. The last one ends with the file; it begins
  half a window before that at the latest, at a whole second if it can. A file
  that is shorter than a window is one window, and so is a picture.

  Args:
    seconds: length of the file; 0: a picture.
    window: length of a window, seconds.
    step: seconds from window to window.

  Returns:
    float64 [n, 2], start and end; n is at least 1.
  """
  starts = [0.0]
  while starts[-1] + window < seconds:
    starts.append(len(starts) * step)
  latest = seconds - window / 2
  if len(starts) > 1 and starts[-1] > latest:
    whole = float(np.floor(latest))
    starts[-1] = whole if whole > starts[-2] else latest
  ends = np.minimum(np.array(starts) + window, seconds)
  return np.stack([starts, ends], axis=1)


def trim(arrays: Mapping[str, np.ndarray]) -> tuple[dict, float]:
  """Cuts off the little that sound or pictures have beyond the other's end.

  Args:
    arrays: 'spectrogram' [T, 40] and visual features [S, V]; those without rows
      are not there.

  Returns:
    The arrays, and the seconds of the file.
  """
  lengths = [len(x) / _RATES[name] for name, x in arrays.items() if len(x)]
  if max(lengths) - min(lengths) > _RAGGED:
    return dict(arrays), max(lengths)
  return clips.trim(dict(arrays), min(lengths)), min(lengths)


def has(
  arrays: Mapping[str, np.ndarray], names: Sequence[str], windows: np.ndarray
) -> np.ndarray:
  """Whether each window has a second of all these arrays, or all of them.

  Args:
    arrays: of a file, trimmed.
    names: of some arrays.
    windows: [n, 2] of the file, seconds.

  Returns:
    bool [n].
  """
  end = min(len(arrays[name]) / _RATES[name] for name in names)
  lasting = np.minimum(windows[:, 1], end) - windows[:, 0]
  needed = np.minimum(_LEAST, windows[:, 1] - windows[:, 0])
  return (lasting >= needed) & (end > 0)


def inputs(
  arrays: Mapping[str, np.ndarray],
  windows: np.ndarray,
  num_frames: int,
  pooling: str = 'max',
) -> dict[str, np.ndarray]:
  """Model inputs of the windows of a file.

  Args:
    arrays: of a file, trimmed, with the streams of the model alone.
    windows: [n, 2], seconds.
    num_frames: T of the model's spectrograms.
    pooling: of the visual features, see `clips.pool_visual`.

  Returns:
    As `clips.cut_window`, of n windows.
  """
  cut = [
    clips.cut_window(dict(arrays), start, end, num_frames, pooling)
    for start, end in windows
  ]
  return {key: np.stack([clip[key] for clip in cut]) for key in cut[0]}
