"""The part of a recording that has the voice."""

import numpy as np
import pytest

from avl_jax.features import SAMPLE_RATE
from avl_jax.features.pauses import without_pauses

FRAME, MARGIN = 320, 1920  # 20 ms, 0.12 s


def _recording(before, voice, after, noise, click=False):
  """Seconds of noise, of a loud tone in it, and of noise."""
  rng = np.random.default_rng(0)
  lengths = [round(s * SAMPLE_RATE) for s in (before, voice, after)]
  waveform = noise * rng.standard_normal(sum(lengths)).astype(np.float32)
  tone = np.sin(np.arange(lengths[1]) / 5, dtype=np.float32)
  waveform[lengths[0] : lengths[0] + lengths[1]] += 0.3 * tone
  if click:
    waveform[1000:1200] = 0.9
  return waveform


@pytest.mark.parametrize('noise', [0, 1e-3, 0.02])
@pytest.mark.parametrize('click', [False, True])
def test_pauses_go_but_for_a_margin(noise, click):
  waveform = _recording(1, 0.8, 1.5, noise, click)
  found = without_pauses(waveform)
  start = SAMPLE_RATE - MARGIN
  np.testing.assert_array_equal(found, waveform[start : start + len(found)])
  assert abs(len(found) - (0.8 * SAMPLE_RATE + 2 * MARGIN)) <= FRAME


@pytest.mark.parametrize('noise', [0, 1e-3])
def test_a_short_word_in_a_long_recording(noise):
  found = without_pauses(_recording(4, 0.2, 5.8, noise))
  assert abs(len(found) - (0.2 * SAMPLE_RATE + 2 * MARGIN)) <= FRAME


def test_clicks_are_no_voice():
  waveform = _recording(2, 0, 0, 1e-3)
  waveform[1000::3200] = 0.9  # alone in their frames
  assert without_pauses(waveform) is waveform


def test_pauses_within_a_question_stay():
  word = _recording(0.5, 0.4, 0.5, 1e-3)
  found = without_pauses(np.concatenate([word, word]))
  assert abs(len(found) - (1.8 * SAMPLE_RATE + 2 * MARGIN)) <= FRAME


@pytest.mark.parametrize('noise', [0, 1e-3])
@pytest.mark.parametrize('seconds', [0, 0.01, 0.05, 2])
def test_a_recording_without_a_voice_stays_as_it_is(noise, seconds):
  waveform = _recording(seconds, 0, 0, noise)
  np.testing.assert_array_equal(without_pauses(waveform), waveform)


def test_sound_without_pauses_stays():
  waveform = _recording(0, 1, 0, 1e-3)
  np.testing.assert_array_equal(without_pauses(waveform), waveform)
