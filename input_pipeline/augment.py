"""Augmentation of speech at training time: waveforms and spectrograms.

Every draw comes from a generator that the caller derives from (seed, epoch,
index), so a resumed run hears exactly what the unbroken run would have heard.
"""

import dataclasses

import numpy as np
import scipy.fft
import soxr

SAMPLE_RATE = 16000
Range = tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
  """What may happen to a recording before the model hears it.

  Attributes:
    speed: factors of playing speed; pitch and formants move with it.
    silence: seconds of silence put before and after.
    equaliser: standard deviation in dB of a smooth random frequency response.
    reverberation: seconds in which the echo falls by 60 dB.
    reverberation_share: share of the recordings that get an echo.
    signal_to_noise: dB of speech over added noise, whose colour is drawn
      between white and brown.
    frequency_masks: number of SpecAugment bands of up to 6 of 40 mels.
    time_masks: number of SpecAugment stretches of up to 0.12 s.
  """

  speed: Range = (1.0, 1.0)
  silence: Range = (0.0, 0.0)
  equaliser: float = 0.0
  reverberation: Range = (0.1, 0.5)
  reverberation_share: float = 0.0
  signal_to_noise: Range = (100.0, 100.0)
  frequency_masks: int = 0
  time_masks: int = 0

  def waveform(
    self, waveform: np.ndarray, rng: np.random.Generator
  ) -> np.ndarray:
    """Another recording of the same speech: float32 [samples] at 16 kHz."""
    speed = rng.uniform(*self.speed)
    changed = soxr.resample(waveform, speed * SAMPLE_RATE, SAMPLE_RATE, 'LQ')
    before, after = (
      int(rng.uniform(*self.silence) * SAMPLE_RATE) for _ in range(2)
    )
    padded = np.pad(changed, (before, after))
    size = scipy.fft.next_fast_len(len(padded) + SAMPLE_RATE // 2, real=True)
    spectrum = scipy.fft.rfft(padded, size)
    spectrum *= self._frequency_response(len(spectrum), rng)
    if rng.random() < self.reverberation_share:
      spectrum *= scipy.fft.rfft(self._room(rng), size)
    speech = scipy.fft.irfft(spectrum, size)[: len(padded)]
    return (speech + self._noise(speech, rng)).astype(np.float32)

  def _frequency_response(self, bins, rng) -> np.ndarray:
    """[bins] gains between eight random points of the mel-like scale."""
    points = rng.normal(0, self.equaliser, 8)
    position = np.sqrt(np.linspace(0, 1, bins)) * (len(points) - 1)
    decibels = np.interp(position, np.arange(len(points)), points)
    return (10 ** (decibels / 20)).astype(np.float32)

  def _room(self, rng) -> np.ndarray:
    """Impulse response: the direct sound, then decaying noise."""
    duration = rng.uniform(*self.reverberation)
    times = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    echo = rng.standard_normal(len(times)) * 10 ** (-3 * times / duration)
    echo *= rng.uniform(0.1, 0.7) / np.linalg.norm(echo)
    echo[0] = 1
    return echo.astype(np.float32)

  def _noise(self, speech, rng) -> np.ndarray:
    """Noise with the power spectrum 1 / f^colour, at the drawn level."""
    size = scipy.fft.next_fast_len(len(speech), real=True)
    spectrum = scipy.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    colour = rng.uniform(0, 2)
    spectrum *= np.maximum(np.arange(len(spectrum)), 1) ** (-colour / 2)
    noise = scipy.fft.irfft(spectrum, size)[: len(speech)]
    level = 10 ** (-rng.uniform(*self.signal_to_noise) / 20)
    return noise * (level * _rms(speech) / max(_rms(noise), 1e-12))

  def spectrogram(
    self, spectrogram: np.ndarray, rng: np.random.Generator
  ) -> np.ndarray:
    """SpecAugment: bands and stretches of [T, 40] dB set to its mean."""
    masked, mean = spectrogram.copy(), spectrogram.mean()
    for _ in range(self.frequency_masks):
      width = rng.integers(0, 7)
      start = rng.integers(0, masked.shape[1] - width + 1)
      masked[:, start : start + width] = mean
    for _ in range(self.time_masks):
      width = min(rng.integers(0, 13), len(masked) // 4)
      start = rng.integers(0, len(masked) - width + 1)
      masked[start : start + width] = mean
    return masked


def _rms(samples: np.ndarray) -> float:
  return float(np.sqrt(np.mean(np.square(samples))))
