"""Training batches depend on (seed, step) only; evaluations are complete."""

import hashlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

import input_pipeline
from avl_jax.errors import UserError
from avl_jax.features import clips
from input_pipeline.records.reader import Records

AUGMENTATION = {
  'speed': (0.9, 1.1),
  'signal_to_noise': (10.0, 30.0),
  'time_masks': 1,
}


def _train(data_dir, **changes):
  arguments = {
    'datasets': ('stamps/narrated_fr',),
    'split': 'train',
    'batch_size': 8,
    'clips_per_example': 0,
    'num_frames': 80,
    'augmentation': AUGMENTATION,
    'distinct_groups': True,
    'seed': 3,
    'data_dir': data_dir,
  }
  return input_pipeline.train_batches(**arguments | changes)


def _digest(batch):
  digest = hashlib.sha256()
  for key in sorted(batch):
    digest.update(
      '\n'.join(batch['id']).encode() if key == 'id' else batch[key]
    )
  return digest.hexdigest()


def test_shapes_and_types_are_those_of_the_schema(stamps_records):
  batch = _train(stamps_records).batch(0)
  assert batch['spectrogram'].shape == (8, 80, 40)
  assert batch['visual'].shape == (8, 1280)
  assert {key: batch[key].dtype.name for key in ('spectrogram', 'visual')} == {
    'spectrogram': 'float32',
    'visual': 'float32',
  }
  assert batch['num_frames'].dtype == np.int32
  np.testing.assert_allclose(np.linalg.norm(batch['visual'], axis=1), 1, 1e-5)
  for spectrogram, count in zip(
    batch['spectrogram'], batch['num_frames'], strict=True
  ):
    assert spectrogram[:count].min() < -20
    assert (spectrogram[count:] == 0).all()


def test_a_batch_depends_on_seed_and_step_alone(stamps_records):
  first, second = _train(stamps_records), _train(stamps_records)
  expected = [_digest(first.batch(step)) for step in range(3, 7)]
  assert len(set(expected)) == 4
  # Prefetched by other threads, from any step, by another instance.
  assert [_digest(batch) for batch in second.from_step(3, 7)] == expected
  assert [_digest(batch) for batch in second.from_step(5, 7)] == expected[2:]
  other = _train(stamps_records, seed=4)
  assert _digest(other.batch(3)) != expected[0]


def test_a_caption_is_in_a_batch_once(stamps_records):
  batches = _train(stamps_records)
  records = Records(('stamps/narrated_fr',), ('train',), stamps_records)
  groups = dict(
    zip(
      [name.decode() for name in records.column('id')],
      records.column('group'),
      strict=True,
    )
  )
  for step in range(60):
    assert len({groups[name] for name in batches.batch(step)['id']}) == 8


def test_augmentation_changes_every_time_but_not_the_picture(stamps_records):
  batches, plain = (
    _train(stamps_records),
    _train(stamps_records, augmentation={}),
  )
  heard, seen = {}, {}
  for step in range(80):
    batch = batches.batch(step)
    for i, name in enumerate(batch['id']):
      heard.setdefault(name, []).append(batch['spectrogram'][i])
      seen.setdefault(name, []).append(batch['visual'][i])
  name = next(name for name, parts in heard.items() if len(parts) > 1)
  assert not np.array_equal(*heard[name][:2])
  np.testing.assert_array_equal(*seen[name][:2])
  once, again = plain.batch(0), plain.batch(0)
  np.testing.assert_array_equal(once['spectrogram'], again['spectrogram'])


def test_evaluation_has_every_example_once(stamps_records):
  evaluations = input_pipeline.eval_batches(
    evaluations={
      'human': {
        'datasets': ('stamps/human_fr',),
        'splits': ('train', 'test', 'unseen_words'),
      }
    },
    batch_size=7,
    num_frames=50,
    data_dir=stamps_records,
  )['human']
  for _ in range(2):  # It is re-iterable.
    batches = list(evaluations)
    ids = np.concatenate([batch['id'] for batch in batches])
    assert len(set(ids)) == len(ids) == 30
    assert [len(batch['id']) for batch in batches] == [7, 7, 7, 7, 2]
    subsets = np.concatenate([batch['subset'] for batch in batches])
    assert set(subsets) == {'train', 'test', 'unseen_words'}
  records = Records(('stamps/human_fr',), ('train',), stamps_records)
  assert list(ids[subsets == 'train']) == [
    name.decode() for name in records.column('id')
  ]
  item = evaluations.media[9]
  assert item.id == ids[9]
  assert item.image.shape == (224, 224, 3)
  assert item.waveform.ndim == 1


def test_galleries_of_the_same_groups(stamps_records):
  human = {
    'datasets': ('stamps/human_fr',),
    'splits': ('train', 'test', 'unseen_words'),
  }
  sounds = {'datasets': ('stamps/sounds',), 'splits': ('test',)}
  narrated = {'datasets': ('stamps/narrated_fr',), 'splits': ('train',)}
  options = {'batch_size': 7, 'num_frames': 50, 'data_dir': stamps_records}
  evaluations = input_pipeline.eval_batches(
    evaluations={
      'speech': human | {'groups_of': sounds},
      'sounds': sounds | {'groups_of': human},
      'narrated': narrated | {'groups_of': human},
    },
    **options,
  )
  for name in ('speech', 'sounds'):  # Only one stamp has a sound.
    (batch,) = evaluations[name]
    assert [i.split('/')[1] for i in batch['id']] == ['thing3']
    assert evaluations[name].subsets.tolist() == batch['subset'].tolist()
    assert evaluations[name].media[0].id == batch['id'][0]
  # A caption has ten narrations; the gallery has the first.
  spoken = Records(**human, data_dir=stamps_records).column('group')
  records = Records(**narrated, data_dir=stamps_records)
  expected, seen = [], set()
  for identity, group in zip(
    records.column('id'), records.column('group'), strict=True
  ):
    if group in spoken and group not in seen:
      expected.append(identity.decode())
      seen.add(group)
  ids = [name for batch in evaluations['narrated'] for name in batch['id']]
  assert ids == expected
  assert len(records) > 10 * len(ids)  # some captions have no recording
  unseen = human | {'splits': ('unseen_words',)}
  with pytest.raises(UserError, match='no group in common'):
    input_pipeline.eval_batches(
      evaluations={'x': unseen | {'groups_of': narrated}}, **options
    )


def test_an_empty_gallery_is_named(stamps_records):
  empty = {'datasets': ('stamps/human_fr',), 'splits': ('test[:0]',)}
  with pytest.raises(UserError, match="no record in the split 'test"):
    input_pipeline.eval_batches(
      evaluations={'human': empty},
      batch_size=4,
      num_frames=64,
      data_dir=stamps_records,
    )


def test_an_evaluation_overrides_num_frames(stamps_records):
  human = {'datasets': ('stamps/human_fr',), 'splits': ('test',)}
  batches = {
    name: next(iter(each))
    for name, each in input_pipeline.eval_batches(
      evaluations={'common': human, 'own': human | {'num_frames': 30}},
      batch_size=3,
      num_frames=50,
      data_dir=stamps_records,
    ).items()
  }
  common, own = (batches[name]['spectrogram'] for name in ('common', 'own'))
  assert common.shape == (3, 50, 40)
  np.testing.assert_array_equal(common[:, :30], own, strict=True)


class Untrimmed(tfds.core.GeneratorBasedBuilder):
  """Six videos of 30 s whose features tell their second."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self):
    def tensor(width):
      return tfds.features.Tensor(
        shape=(None, width), dtype=np.float16, encoding='bytes'
      )

    features = {'id': tfds.features.Text(), 'spectrogram': tensor(40)}
    features |= {'visual_2d': tensor(32), 'visual_3d': tensor(48)}
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(features)
    )

  def _split_generators(self, dl_manager):
    del dl_manager
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    for index in range(6):
      spectrogram = np.full((3000, 40), -1.0 - index, np.float16)
      spectrogram[:, 1] = np.arange(3000) // 100
      yield (
        index,
        {
          'id': f'vidéo {index}',
          'spectrogram': spectrogram,
          'visual_2d': np.eye(30, 32, dtype=np.float16),
          'visual_3d': np.eye(45, 48, dtype=np.float16),
        },
      )


def _untrimmed(tmp_path, **options):
  builder = Untrimmed(data_dir=tmp_path, file_format='array_record')
  builder.download_and_prepare()
  return _train(
    str(tmp_path),
    datasets=('untrimmed',),
    batch_size=3,
    clips_per_example=4,
    num_frames=500,
    augmentation={},
    distinct_groups=False,
    **options,
  )


def test_clips_of_untrimmed_videos(tmp_path):
  batches = _untrimmed(tmp_path)
  assert batches.visual_width == 80
  batch = next(batches.from_step(0, 1))
  assert batch['spectrogram'].shape == (12, 500, 40)
  assert len(set(batch['id'])) == 3
  for i, name in enumerate(batch['id']):
    assert name == batch['id'][i // 4 * 4]
    spectrogram = batch['spectrogram'][i]
    assert (spectrogram[:, 0] == -1 - int(name.split()[1])).all()
    # Frame 98 begins at second 1, so a window begins two frames early.
    start = int(spectrogram[2, 1])
    expected = clips.pool_visual(
      {'visual_2d': np.eye(30, 32), 'visual_3d': np.eye(45, 48)},
      start,
      start + 5,
    )
    np.testing.assert_allclose(batch['visual'][i], expected, rtol=1e-3)
  assert len({int(s[2, 1]) for s in batch['spectrogram']}) > 3


def test_sounds_change_places(tmp_path):
  """The control has the same sounds and pictures, of which few are together."""
  own = _untrimmed(tmp_path).batch(0)
  moved = _untrimmed(tmp_path, permuted_sound=True).batch(0)
  for name in ('id', 'visual'):
    np.testing.assert_array_equal(moved[name], own[name])
  before, after = (
    [sound.tobytes() for sound in batch['spectrogram']]
    for batch in (own, moved)
  )
  assert sorted(after) == sorted(before)
  assert sum(a == b for a, b in zip(after, before, strict=True)) < 6
  again = _untrimmed(tmp_path, permuted_sound=True).batch(0)
  np.testing.assert_array_equal(again['spectrogram'], moved['spectrogram'])


def test_missing_records_are_named(tmp_path):
  with pytest.raises(input_pipeline.DataError, match='--mode=prepare'):
    _train(str(tmp_path))
  with pytest.raises(input_pipeline.DataError, match='howto100m'):
    _train(str(tmp_path), datasets=('howto100m',))
