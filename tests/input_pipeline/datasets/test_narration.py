"""Synthetic narration: effect of its parameters, and reproducibility."""

import numpy as np
import pytest

from avl_jax.features import MediaError
from input_pipeline.datasets.stamps import narration

TEXT = 'un petit chat noir mange une pomme'


@pytest.fixture(scope='module')
def narrator():
  return narration.Narrator()


def fundamental(waveform: np.ndarray) -> float:
  """Median over 64 ms frames of the strongest autocorrelation's rate, Hz."""
  frames = waveform[: len(waveform) // 1024 * 1024].reshape(-1, 1024)
  frames = frames[np.std(frames, 1) > 0.5 * np.std(waveform)]
  power = np.abs(np.fft.rfft(frames, 2048)) ** 2
  lags = np.fft.irfft(power)[:, 40:320]  # 400 to 50 Hz
  return float(16_000 / (40 + np.median(lags.argmax(1))))


def test_waveform_is_finite_at_16_khz(narrator, monkeypatch):
  waveform = narrator.speak(TEXT, 'fr', 'f2')
  assert waveform.dtype == np.float32
  assert np.isfinite(waveform).all()
  assert 0.1 < np.abs(waveform).max() <= 1
  rms = np.sqrt(np.mean(waveform**2))
  monkeypatch.setattr(narration, 'SAMPLE_RATE', 22_050)
  original = narrator.speak(TEXT, 'fr', 'f2')
  assert 1 < len(original) / 22_050 < 4
  assert abs(len(waveform) - len(original) * 16_000 / 22_050) <= 1
  np.testing.assert_allclose(rms, np.sqrt(np.mean(original**2)), rtol=0.1)


def test_slower_is_longer(narrator):
  slow, fast = (
    len(narrator.speak(TEXT, 'fr', 'f2', rate=rate)) for rate in (110, 220)
  )
  assert 1.6 < slow / fast < 2.4


def test_pitch_moves_the_fundamental(narrator):
  low, middle, high = (
    fundamental(narrator.speak(TEXT, 'fr', 'm3', pitch=pitch))
    for pitch in (10, 50, 90)
  )
  assert 60 < low < 0.8 * middle
  assert 1.25 * middle < high < 250


def test_monotone_has_a_smaller_spread_of_pitch(narrator):
  flat, lively = (
    narrator.speak(TEXT, 'fr', 'm3', pitch_range=value) for value in (0, 99)
  )
  halves = [
    abs(np.log(fundamental(part[:12_000]) / fundamental(part[12_000:])))
    for part in (flat, lively)
  ]
  assert halves[0] < 0.01
  assert halves[1] > 0.03


def test_voices_differ_and_speak_all_languages(narrator):
  voices = narrator.voices()
  assert len(voices) > 50
  assert {'f2', 'm3', 'Andy'} <= set(voices)
  female, male = (narrator.speak(TEXT, 'fr', voice) for voice in ('f2', 'm3'))
  assert fundamental(female) > 1.4 * fundamental(male)
  for text, language in (
    ('o pisică neagră', 'ro'),
    ('чёрная кошка', 'ru'),
    ('un gat negre', 'ca'),
    ('черна котка', 'bg'),
    ('un gato negro', 'es-419'),
    ('чорны кот', 'be'),
    ('μια μαύρη γάτα', 'el'),
  ):
    assert 0.5 < len(narrator.speak(text, language, 'f2')) / 16_000 < 3


def test_chosen_voices_are_audible_voiced_and_disjoint(narrator):
  train, validation = narration.TRAIN_VOICES, narration.VALIDATION_VOICES
  voices = train + validation
  assert len(set(voices)) == len(voices)
  for voice in voices:
    waveform = narrator.speak(TEXT, 'fr', voice)
    assert np.abs(waveform).max() < 0.999, voice
    assert 60 < fundamental(waveform) < 300, voice


def test_same_call_same_samples_whatever_came_before(narrator):
  first = narrator.speak(TEXT, 'fr', 'f2')
  other = narrator.speak('черна котка', 'bg', 'whisper')
  np.testing.assert_array_equal(narrator.speak(TEXT, 'fr', 'f2'), first)
  np.testing.assert_array_equal(
    narration.Narrator().speak('черна котка', 'bg', 'whisper'), other
  )


def test_impossible_arguments_are_named(narrator):
  with pytest.raises(ValueError, match="no language 'xx'"):
    narrator.speak(TEXT, 'xx', 'f2')
  with pytest.raises(ValueError, match="no voice 'nobody'"):
    narrator.speak(TEXT, 'fr', 'nobody')
  with pytest.raises(ValueError, match=r'rate is 20\. Expected 80 to 450'):
    narrator.speak(TEXT, 'fr', 'f2', rate=20)
  with pytest.raises(MediaError, match=r"no speech for '' in 'fr'"):
    narrator.speak('', 'fr', 'f2')
