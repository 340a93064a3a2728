"""A data set of noise: without defects, and with bad records."""

import io
import pathlib

import numpy as np
import soundfile
import tensorflow_datasets as tfds

from avl_jax.features import flac

COUNT = 64  # records of 'train', in pairs of a group; 'test' has 4
LENGTH = 400  # frames of a record, 4 s


def _wav(waveform):
  file = io.BytesIO()
  soundfile.write(file, waveform, 16000, format='WAV', subtype='FLOAT')
  return file.getvalue()


def _with(array, value):
  array = array.copy()
  array[len(array) // 2, 3] = value
  return array


# index -> (reason, feature, function that spoils it); all of group 0 is bad.
FAULTS = {
  0: ('spectrogram not finite', 'spectrogram', lambda x: _with(x, np.nan)),
  1: ('visual_2d not finite', 'visual_2d', lambda x: _with(x, np.inf)),
  3: ('visual_3d not finite', 'visual_3d', lambda x: _with(x, -np.inf)),
  5: ('spectrogram not [T, 40]', 'spectrogram', lambda x: x[:0]),
  8: ('visual_2d empty', 'visual_2d', lambda x: x[:0]),
  11: ('visual_3d empty', 'visual_3d', lambda x: x[:0]),
}
AUDIO_FAULTS = {
  13: ('audio unreadable', 'audio', lambda x: x[:20]),
  15: ('audio not [samples]', 'audio', lambda _: _wav(np.zeros(0))),
  17: ('waveform not finite', 'audio', lambda _: _wav(np.full(800, np.nan))),
}


def example(index: int) -> dict:
  """The record of an index, of noise."""
  rng = np.random.default_rng(index)
  return {
    'id': f'vidéo {index}',
    'group': f'group {index // 2}',
    'audio': flac.encode(rng.normal(0, 0.1, 4800)),
    'spectrogram': rng.normal(-40, 9, (LENGTH, 40)).astype('f2'),
    'visual_2d': rng.random((4, 8), 'f4'),
    'visual_3d': rng.random((6, 5)).astype('f2'),
  }


class Noise(tfds.core.GeneratorBasedBuilder):
  """Configs 'whole', and 'faulty' with all defects in 'train'."""

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS = (
    tfds.core.BuilderConfig(name='whole'),
    tfds.core.BuilderConfig(name='faulty'),
  )

  def _info(self):
    def tensor(width, dtype):
      return tfds.features.Tensor(
        shape=(None, width), dtype=dtype, encoding='bytes'
      )

    features = {name: tfds.features.Text() for name in ('id', 'group', 'audio')}
    features |= {'spectrogram': tensor(40, np.float16)}
    features |= {'visual_2d': tensor(8, np.float32)}
    features |= {'visual_3d': tensor(5, np.float16)}
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(features)
    )

  def _split_generators(self, dl_manager):
    del dl_manager
    return {
      'train': self._generate_examples(range(COUNT)),
      'test': self._generate_examples(range(COUNT, COUNT + 4)),
    }

  def _generate_examples(self, indices):
    faults = FAULTS | AUDIO_FAULTS
    for index in indices:
      record = example(index)
      if self.builder_config.name == 'faulty' and index in faults:
        _, feature, spoil = faults[index]
        record[feature] = spoil(record[feature])
      yield index, record


def prepare(folder: pathlib.Path) -> None:
  """Prepares both configs; each split has three files."""
  for config in Noise.builder_configs:
    builder = Noise(config=config, data_dir=folder, file_format='array_record')
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(num_shards=3)
    )


def shard(data_dir, number, split='train', config='whole') -> pathlib.Path:
  """The path of a file of a split."""
  folder = pathlib.Path(data_dir, 'noise', config)
  (path,) = folder.rglob(f'*-{split}.array_record-0000{number}-of-*')
  return path


def flip(path: pathlib.Path, place: int) -> None:
  """Changes one bit of a file."""
  content = bytearray(path.read_bytes())
  content[place] ^= 1
  path.write_bytes(content)
