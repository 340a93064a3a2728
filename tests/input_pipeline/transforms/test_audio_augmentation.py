"""Augmentation: each part has its configured size, and is reproducible."""

import numpy as np
import pytest

from input_pipeline.transforms.audio_augmentation import Augmentation

TIME = np.arange(16000) / 16000
TONE = (0.5 * np.sin(2 * np.pi * 1000 * TIME)).astype(np.float32)


def _augmented(seed=0, tone=TONE, **settings):
  augmentation = Augmentation(**settings)
  return augmentation.waveform(tone, np.random.default_rng(seed))


def _loudest_frequency(waveform):
  spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
  return spectrum.argmax() * 16000 / len(waveform)


def test_nothing_happens_by_default():
  result = _augmented()
  assert result.dtype == np.float32
  np.testing.assert_allclose(result, TONE, atol=1e-4)


@pytest.mark.parametrize('speed', [0.8, 1.25])
def test_speed_changes_duration_and_pitch(speed):
  result = _augmented(speed=(speed, speed))
  assert len(result) == pytest.approx(16000 / speed, abs=2)
  assert _loudest_frequency(result) == pytest.approx(1000 * speed, abs=2)


@pytest.mark.parametrize('decibels', [0.0, 20.0])
def test_noise_has_the_drawn_level(decibels):
  rng = np.random.default_rng(0)
  speech = rng.standard_normal(16000).astype(np.float32)
  noisy = _augmented(tone=speech, signal_to_noise=(decibels, decibels))
  ratio = np.mean(speech**2) / np.mean((noisy - speech) ** 2)
  assert 10 * np.log10(ratio) == pytest.approx(decibels, abs=0.5)


def test_silence_goes_before_and_after():
  result = _augmented(silence=(0.25, 0.25))
  assert len(result) == 24000
  assert np.abs(result[:3900]).max() < 1e-3
  np.testing.assert_allclose(result[4000:20000], TONE, atol=1e-3)


def test_an_echo_outlasts_the_sound():
  click = np.zeros(16000, np.float32)
  click[1000] = 1
  result = _augmented(
    tone=click, reverberation=(0.3, 0.3), reverberation_share=1.0
  )
  assert result[1000] == pytest.approx(1, abs=1e-3)
  np.testing.assert_allclose(result[:1000], 0, atol=1e-3)
  power = [np.mean(result[1001 + i * 800 :][:800] ** 2) for i in range(4)]
  falls = 10 * np.log10(np.array(power[:-1]) / power[1:])
  np.testing.assert_allclose(falls, 60 * 0.05 / 0.3, atol=1.5)


def test_equaliser_changes_gain_by_frequency():
  rng = np.random.default_rng(0)
  noise = rng.standard_normal(16000).astype(np.float32)
  result = _augmented(tone=noise, equaliser=6.0)
  before, after = (np.abs(np.fft.rfft(x)) for x in (noise, result))
  gains = [
    20 * np.log10(np.mean(after[i : i + 500]) / np.mean(before[i : i + 500]))
    for i in range(0, 8000, 500)
  ]
  assert 2 < np.std(gains) < 12


def test_masks_are_bands_and_stretches_of_the_mean():
  spectrogram = np.random.default_rng(0).normal(-40, 9, (100, 40))
  spectrogram = spectrogram.astype(np.float32)
  masked = Augmentation(frequency_masks=2, time_masks=2).spectrogram(
    spectrogram, np.random.default_rng(3)
  )
  changed = masked != spectrogram
  assert 0 < changed.mean() < 0.5
  assert (masked[changed] == spectrogram.mean()).all()
  whole_bands, whole_frames = changed.all(0), changed.all(1)
  assert (changed == whole_bands[None] | whole_frames[:, None]).all()


def test_a_seed_repeats_itself():
  settings = {
    'speed': (0.8, 1.2),
    'silence': (0.0, 0.2),
    'equaliser': 4.0,
    'reverberation_share': 0.5,
    'signal_to_noise': (5.0, 30.0),
  }
  first, again = _augmented(1, **settings), _augmented(1, **settings)
  np.testing.assert_array_equal(first, again)
  assert not np.array_equal(first[:9000], _augmented(2, **settings)[:9000])


def test_unknown_settings_are_refused():
  with pytest.raises(TypeError, match='noize'):
    Augmentation(noize=1)
