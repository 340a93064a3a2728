"""Small data sets in the layout of HowTo100M's features."""

import json
import pathlib
import re

import numpy as np

import input_pipeline
from tests.helpers import golden

LIST = 'HowTo100M_1166_videopaths.txt'


def golden_spectrogram(length: int) -> np.ndarray:
  """float16 [40, T] of the golden files, whose windows have checksums."""
  files = golden.load('loaders')[0]['sub']['youtube_files']['params']
  name = re.search(r'name (\S+)<T>', files['spec_rule'])[1] + str(length)
  spectrogram = golden.db_audio(name, (1, 40, length))[0].astype('f2')
  columns = np.arange(length)
  spectrogram[0], spectrogram[1] = columns // 100 + 1, columns % 100
  return spectrogram


def write_video(
  folder: pathlib.Path, video: str, length: int, *, npy: bool = False
) -> None:
  """Writes features of golden content: .npz or .npy, and `length` frames."""
  folder = folder / 'cat' / video
  folder.mkdir(parents=True)
  np.savez(folder / f'{video}_spec.npz', golden_spectrogram(length))
  recipes = golden.load('loaders')[0]['sub']['youtube_files']['params']
  for stream in ('2d', '3d'):
    recipe = recipes[f'feat_{stream}']
    array = golden.normal(recipe['name'], recipe['shape'])
    array = (np.abs(array) if stream == '3d' else array).astype('f2')
    if npy:
      np.save(folder / f'{video}_{stream}.npy', array)
    else:
      np.savez(folder / f'{video}_{stream}.npz', features=array)


def prepare_captioned(folder: pathlib.Path, count: int, seconds: int) -> None:
  """Prepares videos with captions of 3 s each and features of real width."""
  captions, paths = {}, []
  for i in range(count):
    place = folder / f'cat/v{i}'
    place.mkdir(parents=True)
    rng = np.random.default_rng(i)
    spectrogram = rng.normal(-40, 9, (40, 100 * seconds)).astype('f2')
    np.savez(place / f'v{i}_spec.npz', spectrogram)
    for stream, rate in (('2d', 1), ('3d', 1.5)):
      features = rng.normal(size=(int(rate * seconds), 2048)).astype('f2')
      np.savez(place / f'v{i}_{stream}.npz', features=features)
    starts = list(range(0, seconds - 3, 3))
    captions[f'v{i}'] = {
      'start': starts,
      'end': [start + 3 for start in starts],
      'text': [f'w{start}' for start in starts],
    }
    paths.append(f'cat/v{i}')
  (folder / LIST).write_text('\n'.join(['path', *paths]))
  (folder / 'caption.json').write_text(json.dumps(captions))
  input_pipeline.prepare(
    datasets=('videos/howto100m',),
    data_dir=str(folder),
    media_dir=str(folder),
  )


def train_batches(data_dir, **options) -> input_pipeline.TrainBatches:
  """Training batches without augmentation."""
  return input_pipeline.train_batches(
    datasets=('videos/howto100m',),
    split='train',
    augmentation={},
    distinct_groups=False,
    seed=1,
    data_dir=str(data_dir),
    **options,
  )
