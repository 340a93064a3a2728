"""Augmented spectrograms, against closed forms."""

import numpy as np
import pytest

from input_pipeline.transforms.clip_sampler import ClipSampler
from input_pipeline.transforms.cutters import RandomWindows
from input_pipeline.transforms.spectrogram_augmentation import (
  SpectrogramAugmentation,
)

ROWS = np.arange(400, dtype=np.float32)[:, None] + np.zeros(40, np.float32)


def augmented(rows, seed=0, **options):
  rng = np.random.default_rng(seed)
  return SpectrogramAugmentation(**options)(rows, rng)


def test_by_default_nothing_changes():
  rows = np.random.default_rng(1).normal(-40, 10, (120, 40)).astype(np.float16)
  found = augmented(rows)
  assert found.dtype == np.float32
  np.testing.assert_array_equal(found, rows)


@pytest.mark.parametrize('seed', range(5))
def test_a_stretch_is_kept(seed):
  found = augmented(ROWS, seed, seconds=(1.0, 1.5))
  assert 100 <= len(found) <= 150
  np.testing.assert_array_equal(np.diff(found, axis=0), 1)
  other = augmented(ROWS, seed + 1, seconds=(1.0, 1.5))
  assert other[0, 0] != found[0, 0]


@pytest.mark.parametrize('speed', [0.5, 0.8, 1.25, 2.0])
def test_speed(speed):
  """A row of the result is `speed` rows further, wherever it begins."""
  found = augmented(ROWS, speed=(speed, speed))
  assert len(found) == min(400, 400 / speed)
  steps = np.diff(found[:, 0])
  whole = (400 - 1) / (min(400, 400 / speed) - 1)
  np.testing.assert_allclose(steps, whole, rtol=1e-3)
  short = augmented(ROWS, speed=(speed, speed), seconds=(1.0, 1.0))
  assert len(short) == 100
  np.testing.assert_allclose(np.diff(short[:, 0]), speed, rtol=0.02)


def test_pitch():
  rows = np.full((3, 40), -80, np.float32)
  rows[:, 20] = 0
  higher, lower = (augmented(rows, pitch=(f, f)) for f in (1.5, 0.5))
  assert higher.argmax(1).tolist() == [30] * 3
  assert lower.argmax(1).tolist() == [10] * 3
  # What is not heard above the highest band is as that band is.
  np.testing.assert_allclose(lower[:, 21:], -80, atol=1e-4)


def test_the_equaliser_is_one_curve_for_all_times():
  found = augmented(ROWS, equaliser=4.0) - ROWS
  np.testing.assert_allclose(found, found[:1].repeat(400, 0), atol=1e-4)
  curves = np.stack(
    [augmented(ROWS[:1], s, equaliser=4.0)[0] for s in range(400)]
  )
  # Between two points the curve is a mean, with a smaller deviation.
  assert 3 < curves.std() < 4.2
  assert np.abs(np.diff(curves[0])).max() < np.ptp(curves[0]) / 2


@pytest.mark.parametrize('decibels', [0.0, 10.0, 30.0])
def test_noise_adds_its_power(decibels):
  rows = np.full((400, 40), -30, np.float32)
  found = augmented(rows, signal_to_noise=(decibels, decibels))
  added = (10 ** (found / 10)).mean() / 10 ** (-30 / 10) - 1
  # The noise varies by 3 dB, and its colour by up to 10.
  assert 0.9 < added * 10 ** (decibels / 10) < 4
  assert (found > rows).all()


def test_clips_are_padded_again():
  example = {
    'id': b'a',
    'spectrogram': np.full((1000, 40), -20, np.float16),
    'visual_2d': np.eye(10, 16, dtype=np.float32),
  }

  def clips(**options):
    sampler = ClipSampler(RandomWindows(500, 6), **options)
    return list(sampler(example, np.random.default_rng(3)))

  options = {'seconds': (1.0, 2.0), 'equaliser': 2.0}
  found = clips(spectrogram_augmentation=options)
  again = clips(spectrogram_augmentation=options)
  for clip, same, plain in zip(found, again, clips(), strict=True):
    count = clip['num_frames']
    assert 100 <= count <= 200
    assert clip['num_frames'].dtype == np.int32
    assert clip['spectrogram'].shape == (500, 40)
    assert clip['spectrogram'].dtype == np.float32
    assert np.ptp(clip['spectrogram'][:count]) > 0.1
    assert not clip['spectrogram'][count:].any()
    np.testing.assert_array_equal(clip['spectrogram'], same['spectrogram'])
    assert (plain['spectrogram'] == -20).all()
  assert len({int(clip['num_frames']) for clip in found}) > 2


def test_a_clip_without_sound_stays():
  example = {
    'id': b'a',
    'spectrogram': np.zeros((0, 40), np.float16),
    'visual_2d': np.eye(10, 16, dtype=np.float32),
  }
  sampler = ClipSampler(
    RandomWindows(500, 1), spectrogram_augmentation={'seconds': (1.0, 2.0)}
  )
  (clip,) = sampler(example, np.random.default_rng(3))
  assert clip['num_frames'] == 0
