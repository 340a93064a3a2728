"""Captions in batches, and the tables of word vectors beside records."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

import input_pipeline
from avl_jax.features import tokenizer, word_vectors
from input_pipeline.records.reader import Records
from tests.helpers import golden
from tests.helpers.noise_dataset import flip

DIM = 6


@pytest.fixture(scope='module')
def vocabulary(stamps_records) -> dict[str, int]:
  """Word -> number of its occurrences in the narrated captions."""
  data = Records(
    ('stamps/narrated_fr',),
    ('train', 'validation', 'unseen_words'),
    stamps_records,
  )
  return dict(
    word_vectors.count_words(map(_caption, data.read(range(len(data)))))
  )


def _caption(example):
  return example['captions'][0].decode()


def _write_vectors(path, vocabulary, seed='captions'):
  lines = [
    f'{word} {" ".join(map(str, golden.normal(f"{seed}/{word}", (DIM,))))}\n'
    for word in vocabulary
  ]
  path.write_text(f'{len(lines)} {DIM}\n' + ''.join(lines))
  return str(path)


@pytest.fixture(scope='module')
def vectors(vocabulary, tmp_path_factory) -> str:
  """A file with all words but 'Un', which every caption has."""
  folder = tmp_path_factory.mktemp('vectors')
  return _write_vectors(folder / 'fr.vec', vocabulary.keys() - {'Un'})


def _train(data_dir, vectors, max_words=3, **changes):
  arguments = {
    'datasets': ('stamps/narrated_fr',),
    'split': 'train',
    'batch_size': 8,
    'clips_per_example': 0,
    'num_frames': 80,
    'augmentation': {'speed': (0.9, 1.1)},
    'distinct_groups': True,
    'seed': 3,
    'words': {'vectors': vectors, 'max_words': max_words},
    'data_dir': data_dir,
  }
  return input_pipeline.train_batches(**arguments | changes)


def test_batches_have_the_vectors_of_their_captions(stamps_records, vectors):
  batches = _train(stamps_records, vectors)
  records = Records(('stamps/narrated_fr',), ('train',), stamps_records)
  captions = {
    example['id'].decode(): _caption(example)
    for example in records.read(range(len(records)))
  }
  known = word_vectors.Word2Vec(vectors).look_up(
    word_vectors.count_words(captions.values()).keys()
  )
  batch = batches.batch(4)
  assert batch['words'].shape == (8, 3, DIM)
  assert batch['words'].dtype == np.float32
  for name, rows in zip(batch['id'], batch['words'], strict=True):
    first, second = tokenizer.tokenise(captions[name])
    assert first == 'Un'  # It has no vector and leaves no gap.
    np.testing.assert_array_equal(rows[0], known[second])
    assert not rows[1:].any()
  (ahead,) = batches.from_step(4, 5)
  # The other arrays are those of batches without words.
  plain = _train(stamps_records, '').batch(4)
  assert plain.keys() == batch.keys() - {'words'}
  for key in batch:
    np.testing.assert_array_equal(ahead[key], batch[key])
    np.testing.assert_array_equal(plain.get(key, batch[key]), batch[key])


def test_words_without_vectors_are_counted(
  stamps_records, vocabulary, tmp_path, capsys
):
  path = _write_vectors(tmp_path / 'most.vec', vocabulary.keys() - {'Un'})
  _train(stamps_records, path)
  said = capsys.readouterr().out
  assert 'most.vec' in said
  assert f'has {len(vocabulary) - 1} of {len(vocabulary)} words' in said
  assert (
    f'{vocabulary["Un"] / sum(vocabulary.values()):.1%} of the text' in said
  )
  (report,) = pathlib.Path(stamps_records).rglob('words_most.vec*.json')
  report = json.loads(report.read_text())
  assert report['unknown'] == {'Un': vocabulary['Un']}
  assert report['word_vectors'] == word_vectors.Word2Vec(path).name


def test_the_table_is_made_once(stamps_records, vectors, monkeypatch):
  expected = _train(stamps_records, vectors).batch(0)['words']
  monkeypatch.delattr(word_vectors.Word2Vec, 'look_up')
  again = _train(stamps_records, vectors).batch(0)['words']
  np.testing.assert_array_equal(again, expected)


def test_other_word_vectors_are_other_data(
  stamps_records, vocabulary, vectors, tmp_path
):
  other = _write_vectors(tmp_path / 'fr.vec', vocabulary, 'other')
  batches = [
    _train(stamps_records, *options)
    for options in ((vectors,), (vectors,), ('',), (vectors, 4), (other,))
  ]
  prints = [each.fingerprint for each in batches]
  assert prints[0] == prints[1]
  assert len(set(prints)) == 4
  known, others = batches[0].batch(0)['words'], batches[-1].batch(0)['words']
  assert not np.array_equal(known, others)


def test_word_vectors_of_another_language(stamps_records, tmp_path):
  path = _write_vectors(tmp_path / 'el.vec', ['Βάτραχος', 'σκύλος'])
  with pytest.raises(
    input_pipeline.DataError, match=r"el.vec.*none of the \d+ words.*fr'"
  ):
    _train(stamps_records, path)


class Mute(tfds.core.GeneratorBasedBuilder):
  """Three clips with no captions or several, by the config."""

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS = (
    tfds.core.BuilderConfig(name='none'),
    tfds.core.BuilderConfig(name='several'),
  )

  def _info(self):
    features = tfds.features
    tensor = features.Tensor(shape=(None, 40), dtype=np.float32)
    return self.dataset_info_from_configs(
      features=features.FeaturesDict(
        {
          'id': features.Text(),
          'spectrogram': tensor,
          'visual_2d': tensor,
          'captions': features.Sequence(features.Text()),
          'eval_caption': features.Text(),
        }
      )
    )

  def _split_generators(self, dl_manager):
    del dl_manager
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    several = self.builder_config.name == 'several'
    for index in range(3):
      yield (
        index,
        {
          'id': str(index),
          'spectrogram': np.ones((4, 40), np.float32),
          'visual_2d': np.ones((1, 40), np.float32),
          'captions': ['one', 'two two', 'three'] if several else [],
          'eval_caption': 'four' if several else '',
        },
      )


@pytest.fixture(scope='module')
def mute(tmp_path_factory) -> str:
  """A data_dir with both configs of Mute."""
  folder = tmp_path_factory.mktemp('mute')
  for config in Mute.builder_configs:
    builder = Mute(config=config, data_dir=folder, file_format='array_record')
    builder.download_and_prepare()
  return str(folder)


_PLAIN = {'augmentation': {}, 'distinct_groups': False, 'batch_size': 3}


def test_records_without_captions_are_named(mute, vectors):
  with pytest.raises(
    input_pipeline.DataError, match="'mute/none' has no captions"
  ):
    _train(mute, vectors, datasets=('mute/none',), **_PLAIN)


def test_one_of_several_captions_is_drawn_and_one_is_fixed(mute, tmp_path):
  path = _write_vectors(tmp_path / 'en.vec', ['one', 'two', 'three', 'four'])
  known = word_vectors.Word2Vec(path).look_up(['one', 'two', 'three', 'four'])
  batches = _train(mute, path, datasets=('mute/several',), **_PLAIN)
  drawn = {word: 0 for word in known}
  for step in range(100):
    for rows in batches.batch(step)['words']:
      (word,) = (w for w, v in known.items() if np.array_equal(rows[0], v))
      drawn[word] += 1
      assert rows[1].any() == (word == 'two')
  assert not drawn.pop('four')
  assert min(drawn.values()) > 70  # of 300, each as likely
  np.testing.assert_array_equal(
    batches.batch(7)['words'], batches.batch(7)['words']
  )
  evaluation = input_pipeline.eval_batches(
    evaluations={'e': {'datasets': ('mute/several',), 'splits': ('train',)}},
    batch_size=2,
    num_frames=4,
    words={'vectors': path, 'max_words': 2},
    data_dir=mute,
  )['e']
  for batch in evaluation:
    for rows in batch['words']:
      np.testing.assert_array_equal(rows[0], known['four'])


def test_evaluation_with_noise_is_always_the_same(stamps_records):
  evaluation = {'datasets': ('stamps/human_fr',), 'splits': ('test',)}
  noise = {'augmentation': {'signal_to_noise': (0.0, 0.0)}}
  clean, noisy = input_pipeline.eval_batches(
    evaluations={'clean': evaluation, 'noisy': evaluation | noise},
    batch_size=64,
    num_frames=50,
    data_dir=stamps_records,
  ).values()
  (plain,), (once,), (again,) = clean, noisy, noisy
  np.testing.assert_array_equal(once['spectrogram'], again['spectrogram'])
  np.testing.assert_array_equal(once['visual'], plain['visual'])
  assert np.abs(once['spectrogram'] - plain['spectrogram']).mean() > 3


def test_a_table_without_the_words_of_a_bad_record_is_not_kept(mute, tmp_path):
  vectors = _write_vectors(tmp_path / 'en.vec', ['one', 'two', 'three', 'four'])
  data_dir = tmp_path / 'records'
  shutil.copytree(mute, data_dir)
  (path,) = (data_dir / 'mute' / 'several').rglob('*-train.array_record*')
  whole = path.read_bytes()
  options = {'datasets': ('mute/several',), **_PLAIN, 'batch_size': 2}
  expected = _train(mute, vectors, **options).batch(0)
  flip(path, 200)
  for table in path.parent.glob('words_*'):
    table.unlink()
  batches = _train(str(data_dir), vectors, **options)
  batch = batches.batch(0)
  assert batch['words'].any((1, 2)).all()
  assert batches.bad_records.counts == {'unreadable': 1}
  assert not list(path.parent.glob('words_*'))
  path.write_bytes(whole)
  repaired = _train(str(data_dir), vectors, **options)
  assert len(list(path.parent.glob('words_*.npz'))) == 1
  np.testing.assert_array_equal(repaired.batch(0)['words'], expected['words'])
