"""Many windows of a video, against each window cut by itself."""

import numpy as np
import pytest

from avl_jax.features import clips, float16
from avl_jax.features.many_clips import cut_clips


def _video(dtype, seconds=40):
  rng = np.random.default_rng(0)
  visual = rng.normal(size=(seconds - 3, 24))
  visual[5:20] = -abs(visual[5:20])  # A window without a positive number.
  return {
    'spectrogram': rng.normal(-40, 9, (100 * seconds, 40)).astype(dtype),
    'visual_2d': visual.astype(dtype),
    'visual_3d': rng.random((int(1.5 * seconds), 24)).astype(dtype),
  }


@pytest.mark.parametrize('dtype', ['float16', 'float32', 'float64'])
@pytest.mark.parametrize('pooling', ['max', 'centre'])
@pytest.mark.parametrize(
  'starts',
  [
    [0, 6, 6, 29, 12, 8],
    [35, 38, 39, 60],  # past the ends of both
  ],
)
def test_windows_are_those_cut_one_by_one(dtype, pooling, starts):
  video = _video(dtype)
  found = list(cut_clips(video, starts, 1000, pooling))
  assert len(found) == len(starts)
  for clip, start in zip(found, starts, strict=True):
    expected = clips.cut_clip(video, start, 1000, pooling)
    assert clip.keys() == expected.keys()
    for name, value in expected.items():
      assert clip[name].dtype == value.dtype
      np.testing.assert_array_equal(clip[name], value)


def test_one_stream_and_no_windows():
  video = _video('float16')
  del video['visual_3d']
  (clip,) = cut_clips(video, [2], 300)
  np.testing.assert_array_equal(
    clip['visual'], clips.pool_visual(video, 2, 2 + clips.whole_seconds(300))
  )
  assert clip['visual'].any()
  assert list(cut_clips(video, [], 300)) == []


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_maxima_of_windows(dtype):
  array = _video(dtype)['visual_2d']
  windows = [(0, 3), (6, 19), (30, 99), (40, 50), (7, 7)]
  found = float16.window_maxima(array, windows)
  assert found.dtype == np.float32
  for row, (first, last) in zip(found[:3], windows[:3], strict=True):
    np.testing.assert_array_equal(row, array[first:last].max(0))
  assert (found[1] < 0).all()
  assert not found[3:].any()
