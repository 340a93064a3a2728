"""The clip sampler: the same steps in training and evaluation."""

import numpy as np
import pytest

from avl_jax.features import audio, clips
from input_pipeline.records.splits import Needs
from input_pipeline.transforms import cutters
from input_pipeline.transforms.audio_augmentation import Augmentation
from input_pipeline.transforms.clip_sampler import ClipSampler

AUGMENTATION = {'speed': (0.8, 1.25), 'time_masks': 2}


def _example():
  rng = np.random.default_rng(0)
  return {
    'id': 'é'.encode(),
    'waveform': rng.normal(0, 0.1, 16000).astype('f4'),
    'spectrogram': rng.normal(-40, 9, (300, 40)).astype('f2'),
    'visual_2d': rng.random((3, 8), 'f4'),
    'visual_3d': rng.random((4, 5), 'f4'),
    'picture': rng.integers(0, 256, (300, 280, 3), np.uint8),
    'captions': np.array([b'one', b'two'], object),
  }


def _stored():
  example = _example()
  del example['picture']
  return example


def _vectors(caption):
  return np.full((2, 3), len(caption), np.float32)


def test_augments_then_cuts_from_one_generator():
  sampler = ClipSampler(
    cutters.RandomWindows(num_frames=50, num_clips=4),
    augmentation=AUGMENTATION,
    streams=('visual_3d',),
  )
  found = list(sampler(_stored(), np.random.default_rng(7)))
  rng, augmentation = np.random.default_rng(7), Augmentation(**AUGMENTATION)
  waveform = augmentation.waveform(_example()['waveform'], rng)
  video = {'visual_3d': _example()['visual_3d']}
  video['spectrogram'] = augmentation.spectrogram(
    audio.log_mel_spectrogram(waveform), rng
  )
  starts = cutters.random_starts(len(video['spectrogram']), 50, 4, rng)
  for clip, start in zip(found, starts, strict=True):
    expected = clips.cut_clip(video, start, 50)
    assert clip.pop('id') == 'é'
    assert clip.keys() == expected.keys()
    for key in clip:
      np.testing.assert_array_equal(clip[key], expected[key])


def test_an_evaluation_draws_nothing():
  sampler = ClipSampler(
    cutters.FixedClip(80), streams=('image',), caption_vectors=_vectors
  )
  rng = np.random.default_rng(0)
  (clip,) = sampler(_example(), rng)
  assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state
  assert clip['words'][0, 0] == len('one')
  assert clip['image'].shape == (224, 224, 3)
  training = ClipSampler(cutters.RandomClip(80), streams=('image',))
  (other,) = training(_example(), rng)
  np.testing.assert_array_equal(clip['spectrogram'], other['spectrogram'])
  assert (clip['image'] != other['image']).any()


@pytest.mark.parametrize('streams', [('visual_2d', 'visual_3d'), ('image',)])
@pytest.mark.parametrize('vectors', [None, _vectors])
def test_clips_have_the_types_that_are_told(streams, vectors):
  sampler = ClipSampler(
    cutters.RandomClip(20), streams=streams, caption_vectors=vectors
  )
  example = _example() if streams == ('image',) else _stored()
  (clip,) = sampler(example, np.random.default_rng(0))
  assert clip.keys() == sampler.dtypes.keys()
  assert type(clip.pop('id')) is sampler.dtypes['id']
  for name, value in clip.items():
    assert value.dtype == sampler.dtypes[name]
  width = sampler.visual_width(example)
  assert width == (len(clip['visual']) if 'visual' in clip else None)


def test_needs():
  plain = cutters.RandomClip(20)
  around = cutters.CaptionWindows(20, 2, min_time=3.0, word_order='time')
  assert ClipSampler(plain).needs == Needs()
  assert ClipSampler(plain, augmentation={}).needs == Needs()
  assert ClipSampler(plain, streams=('image',)).needs == Needs(picture=True)
  assert ClipSampler(around, augmentation=AUGMENTATION).needs == Needs(
    waveform=True, captions=True
  )
