"""Clips, padding and pooling against golden H and plain numpy."""

import numpy as np
import pytest

from avl_jax.features import clips
from input_pipeline.transforms import cutters
from tests.helpers import golden


def _normalised(x):
  return x / max(np.linalg.norm(x), 1e-12)


def test_pad_or_crop():
  spectrogram = np.random.default_rng(0).normal(-30, 9, (7, 40)).astype('f2')
  padded = clips.pad_or_crop(spectrogram, 10)
  assert padded.dtype == np.float32
  np.testing.assert_array_equal(padded[:7], spectrogram)
  assert (padded[7:] == 0).all()
  np.testing.assert_array_equal(
    clips.pad_or_crop(spectrogram, 5), spectrogram[:5]
  )


def test_pool_visual_normalises_each_stream():
  rng = np.random.default_rng(0)
  example = {
    'visual_2d': rng.normal(size=(5, 8)),
    'visual_3d': rng.normal(size=(8, 6)),
  }
  pooled = clips.pool_visual(example, 1, 3)
  expected = np.concatenate(
    [
      _normalised(example['visual_2d'][1:4].max(0)),
      _normalised(example['visual_3d'][1:5].max(0)),
    ]
  )
  np.testing.assert_allclose(pooled, expected, rtol=1e-6)
  assert np.linalg.norm(pooled) == pytest.approx(2**0.5)
  # Behind the end there are no features: zeros, not the last ones.
  assert (clips.pool_visual(example, 9, 12) == 0).all()
  whole = clips.pool_visual({'visual_2d': example['visual_2d']})
  np.testing.assert_allclose(
    whole, _normalised(example['visual_2d'].max(0)), rtol=1e-6
  )


def _windows():
  cases = golden.load('loaders')[0]['sub']['youtube_random']['params']
  return cases['cases']


@pytest.mark.parametrize('case', _windows())
def test_random_windows_meet_the_release(case):
  length, num_frames = case['T'], case['num_audio_frames']
  starts = cutters.random_starts(
    length, num_frames, 20 * case['pool_size'], np.random.default_rng(0)
  )
  assert set(starts) == set(range(case['pool_size']))
  seconds = length // 100 + 2
  example = {
    # Every value says where it comes from.
    'spectrogram': np.arange(length)[:, None] - np.zeros(40),
    'visual_2d': np.eye(seconds),
    'visual_3d': np.eye(seconds * 3 // 2),
  }
  for window in case['windows']:
    clip = clips.cut_clip(example, window['start_second'], num_frames)
    assert clip['num_frames'] == window['nframes']
    assert clip['spectrogram'][0, 0] == window['first_frame']
    last = window['first_frame'] + window['nframes'] - 1
    assert clip['spectrogram'][window['nframes'] - 1, 0] == last
    streams = clip['visual'][:seconds], clip['visual'][seconds:]
    for stream, name in zip(streams, ('slice_2d', 'slice_3d'), strict=True):
      first, end = window[name]
      expected = np.arange(first, min(end, len(stream)))
      np.testing.assert_array_equal(np.flatnonzero(stream), expected)


def test_time_to_frame_is_clamped():
  times = [0, 0.0125, 1, 24]
  assert [clips.time_to_frame(t) for t in times] == [0, 0, 98, 2398]
