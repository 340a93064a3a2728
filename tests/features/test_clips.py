"""Cutting, padding and pooling against golden numbers and plain numpy."""

import numpy as np
import pytest

from avl_jax.features import clips
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
  # Features behind the end are zeros, not the last ones.
  assert (clips.pool_visual(example, 9, 12) == 0).all()
  whole = clips.pool_visual({'visual_2d': example['visual_2d']})
  np.testing.assert_allclose(
    whole, _normalised(example['visual_2d'].max(0)), rtol=1e-6
  )


def test_the_feature_in_the_centre():
  """Every feature tells its place: second k, and 16 frames from k / 1.5 s."""
  example = {'visual_2d': np.eye(30), 'visual_3d': np.eye(45)}

  def places(*window):
    pooled = clips.pool_visual(example, *window, pooling='centre')
    assert (pooled > 0).sum() == 2
    return pooled[:30].argmax(), pooled[30:].argmax()

  # Seconds 7 to 17: frame 12, which the 16 frames from 12.0 s begin with.
  assert places(7, 17) == (12, 18)
  assert places() == (15, 22)
  # From second 26 there are four of ten seconds left.
  assert places(26, 36) == (28, 42)
  assert places(29, 39) == (29, 44)
  none = clips.pool_visual(example, 31, 41, pooling='centre')
  assert not none.any()
  one = {'visual_2d': np.array([[3.0, 4.0]])}
  np.testing.assert_allclose(
    clips.pool_visual(one, pooling='centre'), [0.6, 0.8], rtol=1e-6
  )


def _cases():
  return golden.load('loaders')[0]['sub']['youtube_random']['params']['cases']


@pytest.mark.parametrize('case', _cases(), ids=lambda case: f'T{case["T"]}')
def test_windows_are_those_of_the_release(case):
  length, num_frames = case['T'], case['num_audio_frames']
  seconds = length // 100 + 2
  example = {
    # Every value tells its place.
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


def test_a_window_ends_where_it_is_told():
  example = {
    'spectrogram': np.arange(1000)[:, None] - np.zeros(40),
    'visual_2d': np.eye(10),
  }
  clip = clips.cut_window(example, 2.0, 4.5, 300)
  assert clip['num_frames'] == 448 - 198
  np.testing.assert_array_equal(
    clip['spectrogram'][:250, 0], np.arange(198, 448)
  )
  assert (clip['spectrogram'][250:] == 0).all()
  np.testing.assert_array_equal(np.flatnonzero(clip['visual']), [2, 3, 4])
  assert clips.cut_window(example, 2.0, 4.5, 100)['num_frames'] == 100
