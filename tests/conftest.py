"""Eight virtual devices, cached compilations, and small data sets."""

import importlib.metadata
import os
import pathlib
import shutil

os.environ.setdefault(
  'XLA_FLAGS',
  # Compilation takes most of the time of the tests, so it is not optimised, and
  # XLA's older code generator is used where there is one: it is a third faster.
  '--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0'
  + ' --xla_cpu_use_fusion_emitters=false'
  * importlib.metadata.version('jaxlib').startswith('0.10.'),
)
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault(
  'TF_ENABLE_ONEDNN_OPTS', '0'
)  # TensorFlow only moves data.

import jax
import numpy as np
import pytest
import soundfile
from PIL import Image

import input_pipeline
from avl_jax import compilation, parallel
from tests.helpers import noise_dataset

compilation.cache('~/.cache/avl_jax/tests')


@pytest.fixture
def use_devices(monkeypatch):
  """use_devices(n): the program uses n devices until the end of the test."""

  def use(count: int) -> None:
    monkeypatch.setattr(
      parallel, 'devices', lambda: jax.local_devices()[:count]
    )

  return use


def _draw_stamp(folder: pathlib.Path, index: int) -> None:
  """Writes a coloured shape with captions and recordings, which are tones."""
  folder.mkdir(parents=True, exist_ok=True)
  rng = np.random.default_rng(index)
  picture = np.zeros((60, 80, 4), np.uint8)
  picture[10:50, 20:60, :3] = rng.integers(0, 256, 3)
  picture[10:50, 20:60, 3] = 255
  stem = folder / f'thing{index}'
  Image.fromarray(picture).save(stem.with_suffix('.png'))
  word = ''.join(rng.choice(list('bdfgklmnprst'), 3)) + 'aeiou'[index % 5]
  stem.with_suffix('.txt').write_text(
    f'A {word}.\nfr.utf8=Un {word}.\nes.utf8=Un {word}o.\n'
  )
  times = np.arange(8000 + 200 * index) / 16000
  tone = 0.3 * np.sin(2 * np.pi * (200 + 40 * index) * times)
  for language in ('fr', 'es'):
    soundfile.write(f'{stem}_desc_{language}.wav', tone, 16000)


@pytest.fixture(scope='session')
def stamps_folder(tmp_path_factory) -> pathlib.Path:
  """A folder of thirty small stamps, and of one stamp for each defect.

  wrong/: an empty picture, an empty, a silent, a garbled and a missing
  recording, a missing caption, no captions at all, a caption that another stamp
  has; symbols/: never used.
  """
  folder = tmp_path_factory.mktemp('stamps')
  for index in range(30):
    _draw_stamp(folder / 'things', index)
  wrong = folder / 'wrong'
  for index in range(100, 108):
    _draw_stamp(wrong, index)
  _draw_stamp(folder / 'symbols', 200)
  (wrong / 'thing100.png').write_bytes(b'')
  (wrong / 'thing101_desc_fr.wav').write_bytes(b'')
  soundfile.write(wrong / 'thing102_desc_fr.wav', np.zeros(8000), 16000)
  (wrong / 'thing103_desc_fr.wav').write_bytes(b'RIFF but not really')
  (wrong / 'thing104.txt').write_text('A thing.\nes.utf8=Algo.\n')
  (wrong / 'thing106_desc_fr.wav').unlink()
  (wrong / 'thing107.txt').unlink()
  captions = (folder / 'things' / 'thing0.txt').read_text()
  (wrong / 'thing105.txt').write_text(captions)
  soundfile.write(folder / 'things' / 'thing3.wav', np.ones(900) / 9, 16000)
  return folder


@pytest.fixture(scope='session')
def stamps_records(stamps_folder, tmp_path_factory) -> str:
  """A data_dir with records of the small stamps: human, narrated, sounds."""
  data_dir = tmp_path_factory.mktemp('records')
  input_pipeline.prepare(
    datasets=('stamps/human_fr', 'stamps/narrated_fr', 'stamps/sounds'),
    data_dir=str(data_dir),
    media_dir=str(stamps_folder),
  )
  return str(data_dir)


@pytest.fixture(scope='session')
def noise_records(tmp_path_factory) -> pathlib.Path:
  """A data_dir with the records of helpers/noise_dataset.py."""
  folder = tmp_path_factory.mktemp('noise')
  noise_dataset.prepare(folder)
  return folder


@pytest.fixture
def damaged_records(noise_records, tmp_path) -> pathlib.Path:
  """A copy of `noise_records` to damage."""
  return pathlib.Path(shutil.copytree(noise_records, tmp_path / 'records'))
