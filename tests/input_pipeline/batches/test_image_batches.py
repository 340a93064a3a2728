"""Batches of pictures: Places Audio, and one visual stream of two."""

import hashlib

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from avl_jax.features import images
from input_pipeline.records import bad_records, reader
from tests.helpers import pillow_crops, places_files

NAME = 'spoken_captions/places_en'


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('places')
  places_files.write(folder, train=12, val=5)
  input_pipeline.prepare(
    datasets=(NAME,), data_dir=str(folder / 'records'), media_dir=str(folder)
  )
  return str(folder / 'records')


def _train(data_dir, **changes):
  options = {
    'datasets': (NAME,),
    'split': 'train',
    'batch_size': 4,
    'clips_per_example': 0,
    'num_frames': 60,
    'augmentation': {},
    'distinct_groups': True,
    'streams': ('image',),
    'seed': 3,
    'data_dir': data_dir,
  }
  return input_pipeline.train_batches(**options | changes)


def _evaluation(data_dir, **changes):
  (batches,) = input_pipeline.eval_batches(
    **{
      'evaluations': {'places': {'datasets': (NAME,), 'splits': ('val',)}},
      'batch_size': 3,
      'num_frames': 60,
      'streams': ('image',),
      'data_dir': data_dir,
    }
    | changes
  ).values()
  return batches


def _pictures(data_dir, split):
  """id -> example of the records."""
  data = reader.Records((NAME,), (split,), data_dir)
  return {x['id'].decode(): x for x in data.read(range(len(data)))}


def test_batches_hold_the_pictures(data_dir):
  train, examples = _train(data_dir), _pictures(data_dir, 'train')
  for batch in train.from_step(0, 3):
    assert set(batch) == {'spectrogram', 'num_frames', 'image', 'id'}
    assert batch['image'].shape == (4, 224, 224, 3)
    assert batch['image'].dtype == np.uint8
  batch = train.batch(4)
  epoch, indices = train._batch_sampler.batch(4)
  assert epoch == 1
  for i, index in enumerate(indices.tolist()):
    example = examples[batch['id'][i]]
    picture = Image.fromarray(images.read_image(example['image']))
    rng = np.random.default_rng((3, epoch, index))
    np.testing.assert_array_equal(
      batch['image'][i], pillow_crops.random(picture, rng)
    )
    length = min(60, len(example['spectrogram']))
    assert batch['num_frames'][i] == length
    np.testing.assert_array_equal(
      batch['spectrogram'][i, :length], example['spectrogram'][:60]
    )


def test_evaluation_takes_the_centre(data_dir):
  examples, seen = _pictures(data_dir, 'val'), []
  for batch in _evaluation(data_dir):
    seen += batch['id'].tolist()
    for name, image in zip(batch['id'], batch['image'], strict=True):
      picture = Image.fromarray(images.read_image(examples[name]['image']))
      difference = image - pillow_crops.centre(picture).astype(int)
      assert np.abs(difference).max() <= 1
  assert sorted(seen) == sorted(examples)


def _digest(batches):
  digest = hashlib.sha256()
  for batch in batches:
    digest.update(batch['image'].tobytes() + ' '.join(batch['id']).encode())
  return digest.hexdigest()


def test_a_batch_depends_on_seed_and_step_alone(data_dir):
  whole = [_train(data_dir).batch(step) for step in range(2, 7)]
  resumed = _train(data_dir).from_step(4, 7)
  assert _digest(resumed) == _digest(whole[2:])
  halves = [_train(data_dir, host=(i, 2)).batch(5) for i in range(2)]
  joined = {
    key: np.concatenate([half[key] for half in halves]) for key in halves[0]
  }
  assert _digest([joined]) == _digest(whole[3:4])
  assert _digest([_train(data_dir, seed=4).batch(5)]) != _digest(whole[3:4])
  # In two epochs an example has two crops.
  crops = {}
  for step in range(6):
    batch = _train(data_dir).batch(step)
    for name, image in zip(batch['id'], batch['image'], strict=True):
      crops.setdefault(name, set()).add(image.tobytes())
  assert {len(found) for found in crops.values()} == {2}


def test_a_damaged_picture_is_replaced(data_dir, monkeypatch, capsys):
  batches = _train(data_dir)
  before = batches.batch(0)
  damaged = before['id'][1]
  read = type(batches._records._splits[0]).fetch

  def fetch(split, keys):
    for x in read(split, keys):
      spoilt = {'image': x['image'][:40]}
      yield x | (spoilt if x['id'].decode() == damaged else {})

  monkeypatch.setattr(type(batches._records._splits[0]), 'fetch', fetch)
  after = batches.batch(0)
  assert damaged not in after['id']
  assert batches.bad_records.counts == {'image unreadable': 1}
  np.testing.assert_array_equal(after['image'][0], before['image'][0])
  damaged = next(iter(_pictures(data_dir, 'val')))
  with pytest.raises(bad_records.BadRecordError, match='image unreadable'):
    list(_evaluation(data_dir))


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'streams': ('visual_2d',)}, 'The records have no visual_2d. They have'),
    ({'streams': ('image', 'visual_2d')}, 'Unknown streams'),
    ({'streams': ()}, 'Unknown streams'),
    ({'clips_per_example': 2}, 'Windows cannot be cut from a picture'),
  ],
)
def test_streams_that_are_not_there(data_dir, changes, message):
  with pytest.raises(bad_records.DataError, match=message):
    _train(data_dir, **changes)


def test_one_stream_of_two(noise_records):
  def batch(**options):
    batches = _train(
      str(noise_records),
      datasets=('noise/whole',),
      clips_per_example=2,
      **options,
    )
    assert batches.visual_width == batches.batch(0)['visual'].shape[1]
    return batches.batch(0)

  both = batch(streams=('visual_2d', 'visual_3d'))
  first, second = batch(streams=('visual_2d',)), batch(streams=('visual_3d',))
  assert both['visual'].shape == (8, 13)
  np.testing.assert_array_equal(first['visual'], both['visual'][:, :8])
  np.testing.assert_array_equal(second['visual'], both['visual'][:, 8:])
