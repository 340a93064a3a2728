"""Windows and captions against golden numbers and plain numpy."""

import numpy as np
import pytest

from avl_jax.features import clips
from input_pipeline.transforms import caption_windows, cutters
from tests.helpers import golden


def _cases():
  return golden.load('loaders')[0]['sub']['youtube_random']['params']['cases']


@pytest.mark.parametrize('case', _cases(), ids=lambda case: f'T{case["T"]}')
def test_random_starts_are_those_of_the_release(case):
  starts = cutters.random_starts(
    case['T'],
    case['num_audio_frames'],
    20 * case['pool_size'],
    np.random.default_rng(0),
  )
  assert set(starts) == set(range(case['pool_size']))


def _video(seconds=30):
  """Every frame and feature tells its place."""
  frames = 100 * seconds
  return {
    'spectrogram': np.arange(frames)[:, None] - np.zeros(40),
    'visual_2d': np.eye(seconds),
    'captions': np.array([b'a', b'b', b'c', b'd'], object),
    'caption_starts': np.array([0.0, 2.0, 5.0, 9.0]),
    'caption_ends': np.array([2.0, 5.0, 9.0, 20.0]),
  }


def test_random_windows_are_cut_at_the_drawn_starts():
  video = _video()
  cutter = cutters.RandomWindows(num_frames=500, num_clips=6)
  found = list(cutter(video, np.random.default_rng(3)))
  starts = cutters.random_starts(3000, 500, 6, np.random.default_rng(3))
  assert len(set(starts)) > 3
  for clip, start in zip(found, starts, strict=True):
    expected = clips.cut_clip(video, start, 500)
    assert clip.pop('caption') == ''
    assert clip.keys() == expected.keys()
    for key in clip:
      np.testing.assert_array_equal(clip[key], expected[key])


def test_caption_windows_are_cut_around_the_drawn_captions():
  video = _video()
  cutter = cutters.CaptionWindows(
    num_frames=1000, num_clips=8, min_time=4.0, word_order='time'
  )
  assert cutter.needs_captions
  found = list(cutter(video, np.random.default_rng(0)))
  drawn = np.random.default_rng(0).integers(4, size=8)
  # Of each caption: first and last frame, text; its shorter neighbour joins.
  expected = [
    (0, 498, 'a b'),
    (0, 498, 'a b'),
    (498, 898, 'c'),
    (898, 1898, 'd'),
  ]
  for clip, index in zip(found, drawn, strict=True):
    first, end, caption = expected[index]
    assert clip['spectrogram'][0, 0] == first
    assert clip['num_frames'] == end - first
    assert clip['spectrogram'][clip['num_frames'] - 1, 0] == end - 1
    assert clip['caption'] == caption


@pytest.mark.parametrize(
  ('order', 'caption'), [('time', 'a b c'), ('release', 'c b a')]
)
def test_word_order(order, caption):
  clip = caption_windows.caption_clip(
    _video(), 2, num_frames=100, min_time=8, order=order
  )
  assert clip['caption'] == caption


def test_training_cutters():
  def cutter(clips_per_example, min_time):
    return cutters.training_cutter(
      clips_per_example=clips_per_example,
      num_frames=7,
      min_time=min_time,
      word_order='release',
    )

  assert cutter(0, 0.0) == cutters.RandomClip(7)
  assert cutter(0, 8.0) == cutters.RandomClip(7)
  assert cutter(3, 0.0) == cutters.RandomWindows(7, 3)
  assert cutter(3, 8.0) == cutters.CaptionWindows(
    7, 3, min_time=8.0, word_order='release'
  )


@pytest.mark.parametrize(
  ('cutter', 'middles'),
  [
    (cutters.FixedClip(80, visual_pooling='centre'), [15]),
    (cutters.RandomClip(80, visual_pooling='centre'), [15]),
    (
      cutters.training_cutter(
        clips_per_example=2,
        num_frames=1000,
        min_time=0.0,
        word_order='time',
        visual_pooling='centre',
      ),
      cutters.random_starts(3000, 1000, 2, np.random.default_rng(0)) + 5,
    ),
    (
      cutters.training_cutter(
        clips_per_example=2,
        num_frames=1000,
        min_time=4.0,
        word_order='time',
        visual_pooling='centre',
      ),
      # Of the captions from 0 to 5, 5 to 9 and 9 to 20 seconds.
      np.array([2, 2, 7, 14])[np.random.default_rng(0).integers(4, size=2)],
    ),
  ],
)
def test_clips_with_the_frame_in_their_centre(cutter, middles):
  found = list(cutter(_video(), np.random.default_rng(0)))
  for clip, middle in zip(found, middles, strict=True):
    np.testing.assert_array_equal(clip['visual'], np.eye(30)[middle])


def test_evaluation_takes_its_own_caption_or_else_the_first():
  captions = np.array([b'one', b'two'], object)
  example = {'captions': captions, 'eval_caption': b'three'}
  assert cutters.fixed_caption(example) == 'three'
  assert cutters.fixed_caption({'captions': captions}) == 'one'
  assert cutters.fixed_caption({'captions': captions[:0]}) == ''
  assert cutters.fixed_caption({}) == ''


def test_every_caption_is_drawn():
  example = {'captions': np.array([b'one', b'two'], object)}
  rng = np.random.default_rng(0)
  drawn = [cutters.draw_caption(example, rng) for _ in range(200)]
  assert 70 < drawn.count('one') < 130
  assert set(drawn) == {'one', 'two'}
  assert cutters.draw_caption({'captions': ()}, rng) == ''
  assert cutters.draw_caption({}, rng) == ''
