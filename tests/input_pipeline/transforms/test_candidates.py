"""Windows with their candidates: the nearest ones that do not overlap."""

import numpy as np
import pytest

import input_pipeline
from avl_jax.features import clips
from input_pipeline.records.bad_records import DataError
from input_pipeline.transforms import cutters
from input_pipeline.transforms.clip_sampler import ClipSampler
from input_pipeline.transforms.nearest_windows import nearest_starts


def _video(seconds):
  """Every frame and feature tells its place."""
  return {
    'id': b'video',
    'spectrogram': np.arange(100 * seconds)[:, None] - np.zeros(40),
    'visual_2d': np.eye(seconds),
  }


@pytest.mark.parametrize(
  ('seconds', 'num_frames', 'start', 'expected'),
  [
    (60, 1000, 25, [25, 15, 35, 5, 45]),
    (60, 1000, 3, [3, 13, 23, 33, 43]),
    (60, 1000, 48, [48, 38, 28, 18, 8]),
    (60, 1024, 25, [25, 14, 36, 3, 47]),  # 10.24 s: every 11 s
    (60, 250, 1, [1, 4, 7, 10, 13]),  # 2.5 s: every 3 s
    (35, 1000, 12, [12, 2, 22, 12, 2]),  # the same again
    (7, 1000, 0, [0, 0, 0, 0, 0]),
  ],
)
def test_nearest_windows(seconds, num_frames, start, expected):
  found = nearest_starts(100 * seconds, num_frames, start, 5)
  assert found == expected
  assert nearest_starts(100 * seconds, num_frames, start, 1) == [start]


def test_every_drawn_window_is_followed_by_its_candidates():
  video = _video(50)
  sampler = ClipSampler(cutters.RandomWindows(500, 12, candidates=3))
  assert sampler.num_clips == 12
  assert sampler.dtypes['candidates'] is np.int32
  found = list(sampler(video, np.random.default_rng(3)))
  drawn = cutters.random_starts(5000, 500, 4, np.random.default_rng(3))
  assert len(set(drawn)) > 2
  starts = [s for each in drawn for s in nearest_starts(5000, 500, each, 3)]
  for row, (clip, start) in enumerate(zip(found, starts, strict=True)):
    expected = clips.cut_clip(video, start, 500)
    for key, value in expected.items():
      np.testing.assert_array_equal(clip[key], value)
    first = row - row % 3
    np.testing.assert_array_equal(
      row + clip['candidates'], [first, first + 1, first + 2], strict=False
    )
    assert clip['candidates'].dtype == np.int32


def test_one_candidate_changes_nothing():
  sampler = ClipSampler(cutters.RandomWindows(500, 4, candidates=1))
  assert 'candidates' not in sampler.dtypes
  (clip, *_) = sampler(_video(20), np.random.default_rng(0))
  assert 'candidates' not in clip


def test_a_remainder_is_refused():
  with pytest.raises(DataError, match='5 windows are no multiple of 3'):
    cutters.RandomWindows(500, 5, candidates=3)


def test_batches_say_where_candidates_are_on_every_host(noise_records):
  def batches(host):
    return input_pipeline.train_batches(
      datasets=('noise/whole',),
      split='train',
      batch_size=4,
      clips_per_example=6,
      candidates=3,
      num_frames=100,
      augmentation={},
      distinct_groups=False,
      seed=1,
      data_dir=str(noise_records),
      host=host,
    )

  (whole,) = batches((0, 1)).from_step(2, 3)
  assert whole['candidates'].dtype == np.int32
  rows = np.arange(24)[:, None] + whole['candidates']
  np.testing.assert_array_equal(rows, np.arange(24).reshape(8, 3).repeat(3, 0))
  assert (whole['id'][rows] == whole['id'][:, None]).all()
  parts = [batches((i, 2)).batch(2) for i in range(2)]
  for key, value in whole.items():
    joined = np.concatenate([part[key] for part in parts])
    np.testing.assert_array_equal(joined, value)
