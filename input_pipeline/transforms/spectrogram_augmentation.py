"""Augmentation of the sound of clips that have no waveform: of spectrograms.

Records of untrimmed videos keep spectrograms only. What changes a voice and a
room can be done to these, too, if not as exactly as `audio_augmentation` does
it to a waveform. Every draw comes from the caller's generator.
"""

import dataclasses

import numpy as np

from avl_jax.features import MEL_BINS
from input_pipeline.transforms.audio_augmentation import Augmentation

Range = tuple[float, float]
_ROWS = 100  # of a spectrogram, a second
_POINTS = 8  # of a random curve over the frequencies


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpectrogramAugmentation:
  """Random changes of a clip's spectrogram; by default there are none.

  Attributes:
    seconds: range of how much is kept, a stretch of the clip. A spoken question
      is shorter than a clip.
    speed: range of factors of the playing speed.
    pitch: range of factors of all frequencies, counted in mels.
    equaliser: standard deviation in dB of a smooth random frequency response.
    signal_to_noise: range of dB of the sound over added noise, whose colour is
      drawn.
    frequency_masks: see `Augmentation`.
    time_masks: see `Augmentation`.
  """

  seconds: Range = (np.inf, np.inf)
  speed: Range = (1.0, 1.0)
  pitch: Range = (1.0, 1.0)
  equaliser: float = 0.0
  signal_to_noise: Range = (np.inf, np.inf)
  frequency_masks: int = 0
  time_masks: int = 0

  def __call__(
    self, spectrogram: np.ndarray, rng: np.random.Generator
  ) -> np.ndarray:
    """Augments a spectrogram.

    Args:
      spectrogram: float [T, 40] dB, without padding.
      rng: of all draws.

    Returns:
      float32 [up to T, 40] dB.
    """
    rows = self._stretch(np.asarray(spectrogram, np.float32), rng)
    # [T, 40] x [40, 40] -> [T, 40]
    rows = rows @ _pitch_matrix(_draw(self.pitch, rng))
    if self.equaliser:
      rows = rows + _curve(rng.normal(0, self.equaliser, _POINTS))
    rows = _with_noise(rows, _draw(self.signal_to_noise, rng), rng)
    masks = Augmentation(
      frequency_masks=self.frequency_masks, time_masks=self.time_masks
    )
    return masks.spectrogram(rows, rng)

  def _stretch(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A stretch of the clip at another speed."""
    speed = _draw(self.speed, rng)
    wanted = _ROWS * _draw(self.seconds, rng)
    used = max(1, round(min(len(rows), wanted * speed)))
    first = rng.integers(len(rows) - used + 1)
    count = max(1, min(len(rows), round(used / speed)))
    if count == used:
      return rows[first : first + used]
    places = first + np.linspace(0, used - 1, count)
    left = places.astype(int)
    right = np.minimum(left + 1, first + used - 1)
    share = (places - left).astype(np.float32)[:, None]
    return (1 - share) * rows[left] + share * rows[right]


def _draw(span: Range, rng: np.random.Generator) -> float:
  low, high = span
  return low if low == high else rng.uniform(low, high)


def _curve(points: np.ndarray) -> np.ndarray:
  """float32 [40], interpolated between points."""
  places = np.linspace(0, len(points) - 1, MEL_BINS)
  return np.interp(places, np.arange(len(points)), points).astype(np.float32)


def _pitch_matrix(factor: float) -> np.ndarray:
  """[40, 40]: rows times it have what was in band b in band factor x b."""
  places = np.minimum(np.arange(MEL_BINS) / factor, MEL_BINS - 1)
  bands = np.arange(MEL_BINS)[:, None]
  return np.maximum(0, 1 - np.abs(bands - places)).astype(np.float32)


def _with_noise(
  rows: np.ndarray, decibels: float, rng: np.random.Generator
) -> np.ndarray:
  """Adds the power of noise, `decibels` below that of the rows on average."""
  if decibels == np.inf:
    return rows
  power = np.power(np.float32(10), rows / 10)
  level = 10 * np.log10(power.mean()) - decibels
  slope = np.linspace(1, -1, MEL_BINS) * rng.uniform(0, 10)
  noise = level + slope + rng.normal(0, 3, rows.shape)
  added = np.power(np.float32(10), noise.astype(np.float32) / 10)
  return 10 * np.log10(power + added)
