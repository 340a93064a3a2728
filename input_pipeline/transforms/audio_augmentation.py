"""Augmentation of speech: waveforms and spectrograms.

Every draw comes from a generator that the caller derives from (seed, epoch,
index), so a resumed run sees exactly the batches of an uninterrupted run.
"""

import dataclasses

import numpy as np
import scipy.fft
import soxr

from avl_jax.features import SAMPLE_RATE, audio

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
  """Random changes of a recording; by default there are none.

  Attributes:
    speed: range of factors of the playing speed; pitch and formants move with
      it.
    silence: range of seconds of silence before, and after.
    equaliser: standard deviation in dB of a smooth random frequency response.
    reverberation: range of seconds in which the echo falls by 60 dB.
    reverberation_share: share of the recordings that get an echo.
    signal_to_noise: range of dB of speech over added noise, whose colour is
      drawn between white and brown.
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
    """Augments a recording: float32 [samples] at 16 kHz, of any length."""
    speed = rng.uniform(*self.speed)
    resampled = soxr.resample(waveform, speed * SAMPLE_RATE, SAMPLE_RATE, 'LQ')
    before, after = (
      int(rng.uniform(*self.silence) * SAMPLE_RATE) for _ in range(2)
    )
    padded = np.pad(resampled, (before, after))
    # All linear steps are done in one spectrum. The half second of padding
    # keeps the end of the echo out of the beginning.
    size = scipy.fft.next_fast_len(len(padded) + SAMPLE_RATE // 2, real=True)
    spectrum = scipy.fft.rfft(padded, size)
    spectrum *= self._frequency_response(len(spectrum), rng)
    if rng.random() < self.reverberation_share:
      spectrum *= scipy.fft.rfft(self._room(rng), size)
    # Noise fills `size` samples, the speech only len(resampled) of them.
    spectrum += self._noise(spectrum, size / max(len(resampled), 1), rng)
    return scipy.fft.irfft(spectrum, size)[: len(padded)]

  def _frequency_response(self, bins: int, rng) -> np.ndarray:
    """float32 [bins], interpolated between eight random gains."""
    points = rng.normal(0, self.equaliser, 8)
    position = np.sqrt(np.linspace(0, 1, bins)) * (len(points) - 1)
    decibels = np.interp(position, np.arange(len(points)), points)
    return np.exp((np.log(10) / 20) * decibels).astype(np.float32)

  def _room(self, rng) -> np.ndarray:
    """Impulse response: the direct sound, then decaying noise."""
    duration = rng.uniform(*self.reverberation)
    times = np.arange(SAMPLE_RATE // 2, dtype=np.float32) / SAMPLE_RATE
    echo = rng.standard_normal(len(times), dtype=np.float32)
    echo *= np.exp(-3 * np.log(10) / duration * times)
    echo *= rng.uniform(0.1, 0.7) / np.linalg.norm(echo)
    echo[0] = 1
    return echo

  def _noise(self, speech: np.ndarray, stretch: float, rng) -> np.ndarray:
    """Spectrum of noise of power 1 / f^colour at the drawn level."""
    parts = rng.standard_normal((2, len(speech)), dtype=np.float32)
    frequencies = np.arange(1, len(speech) + 1, dtype=np.float32)
    gains = frequencies ** np.float32(-rng.uniform(0, 2) / 2)
    noise = (parts[0] + 1j * parts[1]) * gains
    decibels = rng.uniform(*self.signal_to_noise)
    level = np.sqrt(stretch * _power(speech) / _power(noise))
    return noise * np.float32(level * 10 ** (-decibels / 20))

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


def _power(spectrum: np.ndarray) -> float:
  return float(np.vdot(spectrum, spectrum).real)


def augmented_spectrogram(
  waveform: np.ndarray, augmentation: Augmentation, rng: np.random.Generator
) -> np.ndarray:
  """Log-mel spectrogram of an augmented recording.

  Args:
    waveform: float32 [samples] at 16 kHz.
    augmentation: of the waveform first, then of the spectrogram.
    rng: of all draws.

  Returns:
    float32 [T, 40] dB.
  """
  augmented = augmentation.waveform(waveform, rng)
  return augmentation.spectrogram(audio.log_mel_spectrogram(augmented), rng)
