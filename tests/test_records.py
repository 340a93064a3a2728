"""Data sets that were damaged, counted when they are opened."""

import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

import input_pipeline
from input_pipeline.records import Records

NAME = 'measured'


class Measured(tfds.core.GeneratorBasedBuilder):
  """Twelve videos of 6 s of noise in three files, and four in one."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self):
    def tensor(width):
      return tfds.features.Tensor(
        shape=(None, width), dtype=np.float16, encoding='bytes'
      )

    features = {'id': tfds.features.Text(), 'group': tfds.features.Text()}
    features |= {'spectrogram': tensor(40), 'visual_2d': tensor(8)}
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(features)
    )

  def _split_generators(self, dl_manager):
    del dl_manager
    return {
      'train': self._generate_examples(12),
      'test': self._generate_examples(4),
    }

  def _generate_examples(self, count):
    for index in range(count):
      rng = np.random.default_rng(index)
      yield (
        index,
        {
          'id': f'video {index}',
          'group': f'group {index // 2}',
          'spectrogram': rng.normal(-40, 9, (600, 40)).astype('f2'),
          'visual_2d': rng.random((6, 8)).astype('f2'),
        },
      )


@pytest.fixture(scope='module')
def pristine(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp('measured')
  Measured(data_dir=folder, file_format='array_record').download_and_prepare(
    download_config=tfds.download.DownloadConfig(num_shards=3)
  )
  return folder


@pytest.fixture
def data_dir(pristine, tmp_path) -> pathlib.Path:
  """A copy to damage."""
  return pathlib.Path(shutil.copytree(pristine, tmp_path / 'records'))


def _shard(data_dir, number, split='train'):
  (path,) = data_dir.rglob(f'*-{split}.array_record-0000{number}-of-*')
  return path


def _open(data_dir, *splits):
  return Records((NAME,), splits or ('train',), str(data_dir))


def _flip(path, place):
  content = bytearray(path.read_bytes())
  content[place] ^= 1
  path.write_bytes(content)


def _cut(path, size):
  path.write_bytes(path.read_bytes()[:size])


BLOCK = 1 << 16  # Records of a file end, and its footer begins, at such a byte.
FAULTS = {
  'cut within a record': lambda path: _cut(path, path.stat().st_size // 3),
  'cut behind its records': lambda path: _cut(path, -BLOCK),
  'cut by a byte': lambda path: _cut(path, -1),
  'a bit of the footer': lambda path: _flip(path, -BLOCK + 30),
  'emptied': lambda path: path.write_bytes(b''),
  'zeros': lambda path: path.write_bytes(bytes(path.stat().st_size)),
  'noise': lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
  'other records': lambda path: shutil.copy(
    _shard(path.parent, 0, 'test'), path
  ),
  'gone': pathlib.Path.unlink,
}
FOUND = {
  'emptied': 'the file is empty',
  'other records': 'the file has 1',
  'gone': 'cannot be opened: No such file',
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_damaged_file_is_named_when_the_data_set_is_opened(data_dir, fault):
  path = _shard(data_dir, 1)
  FAULTS[fault](path)
  found = FOUND.get(fault, 'the file is cut short or garbled')
  with pytest.raises(input_pipeline.DataError) as error:
    _open(data_dir)
  message = str(error.value)
  assert message.startswith(f'{path}: expected 4 records, but ')
  assert found in message
  assert '--mode=prepare' in message
  # Files that are not read need not be there.
  assert len(_open(data_dir, 'train[:4]', 'test', 'train[8:]')) == 12


def test_a_whole_data_set_opens_and_an_empty_slice_does_not(data_dir):
  assert len(_open(data_dir, 'train', 'test')) == 16
  with pytest.raises(input_pipeline.DataError, match='no record in'):
    _open(data_dir, 'train[:0]')
