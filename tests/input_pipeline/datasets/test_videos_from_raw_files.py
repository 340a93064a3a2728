"""HowTo100M from raw videos: records hold whole videos, batches cut clips."""

import json
import pathlib

import numpy as np
import pytest

import input_pipeline
from avl_jax.errors import UserError
from avl_jax.extraction.video_features import Extraction
from avl_jax.features import audio, clips
from input_pipeline.datasets.videos import builder as videos
from input_pipeline.records import reader
from tests.helpers import annotated

_NAMES = ('video_a/how-A.mp4', 'video_b/howB.mkv')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Two good videos, one for each kind of error, and captions."""
  folder = tmp_path_factory.mktemp('howto') / 'media'
  annotated.write_videos(folder / 'videos', *_NAMES)
  annotated.write_bad_videos(folder / 'videos')
  paths = ['None/food_and_entertaining/video_a/how-A', 'cars/video_b/howB']
  paths += [f'cars/{name}' for name in ('mute', 'garbled', 'cut', 'linked')]
  paths += ['cars/gone', '../outside', '/etc/passwd', 'cars/video_b/howB']
  (folder / 'HowTo100M_1166_videopaths.txt').write_text(
    '\n'.join(['path', *paths])
  )
  captions = {'how-A': {'start': [0, 3], 'end': [3, 7.5], 'text': ['a', 'b c']}}
  (folder / 'caption.json').write_text(json.dumps(captions))
  return folder


def _prepare(folder, data_dir, config='howto100m', workers=1):
  extractor = annotated.Extractor()
  videos.Videos(
    config=config,
    data_dir=data_dir,
    media_dir=str(folder),
    extraction=Extraction(
      extractor, extractor.widths, data_dir / 'extracted', workers=workers
    ),
  ).download_and_prepare()
  return extractor.calls


@pytest.fixture(scope='module')
def data_dir(folder, tmp_path_factory):
  data_dir = tmp_path_factory.mktemp('records')
  assert len(_prepare(folder, data_dir)) == 2
  return data_dir


def _read(data_dir, config='howto100m'):
  data = reader.Records((f'videos/{config}',), ('train',), str(data_dir))
  return {e['id'].decode(): e for e in data.read(range(len(data)))}


def test_records_are_of_whole_videos(folder, data_dir):
  found = _read(data_dir)
  assert set(found) == {'how-A', 'howB'}
  for name in _NAMES:
    path = folder / 'videos' / name
    whole = audio.log_mel_spectrogram(audio.read_audio(path))
    example = found[path.stem]
    assert example['spectrogram'].dtype == np.float16
    np.testing.assert_allclose(example['spectrogram'], whole, atol=0.04)
    features = annotated.Extractor()(path, 0, None)
    for stream, array in features.items():
      np.testing.assert_array_equal(example[stream], array)
  texts = [text.decode() for text in found['how-A']['captions']]
  assert texts == ['a', 'b c']
  assert found['how-A']['caption_ends'].tolist() == [3, 7.5]
  assert not len(found['howB']['captions'])


def test_skipped_videos_are_counted(data_dir):
  path = pathlib.Path(data_dir, 'videos/howto100m/1.0.0/skipped.json')
  listed = json.loads(path.read_text())
  assert listed.pop('remarks').keys() == {
    'no captions',
    'videos fewer than expected',
  }
  counts = {key: len(names) for key, names in listed.items()}
  assert counts == {
    'no sound': 1,
    'missing': 1,
    'unsafe name': 3,
    'unreadable': 2,
    'duplicate': 1,
  }


def test_training_windows_are_cut_from_them(data_dir):
  batches = input_pipeline.train_batches(
    datasets=('videos/howto100m',),
    split='train',
    batch_size=2,
    clips_per_example=3,
    num_frames=200,
    augmentation={},
    distinct_groups=False,
    seed=1,
    data_dir=str(data_dir),
  )
  (batch,) = batches.from_step(0, 1)
  assert batch['spectrogram'].shape == (6, 200, 40)
  examples = _read(data_dir)
  for i, video in enumerate(batch['id']):
    windows = [
      clips.cut_clip(examples[video], start, 200) for start in range(8)
    ]
    same = [
      window
      for window in windows
      if np.array_equal(window['spectrogram'], batch['spectrogram'][i])
    ]
    assert len(same) == 1
    np.testing.assert_allclose(batch['visual'][i], same[0]['visual'])


def test_the_official_list(folder, tmp_path):
  root = tmp_path / 'media'
  root.mkdir()
  (root / 'videos').mkdir()
  for name in _NAMES:
    path = root / 'videos' / pathlib.Path(name).name
    path.write_bytes((folder / 'videos' / name).read_bytes())
  (root / 'HowTo100M_v1.csv').write_text(
    'video_id,category_1,category_2,rank,task_id\n'
    'how-A,Food and Entertaining,Recipes,5,11967\n'
    'howB,,,1,2\n'
  )
  _prepare(root, tmp_path)
  assert set(_read(tmp_path)) == {'how-A', 'howB'}
  # Cached features are not extracted again.
  assert not _prepare(root, tmp_path, 'howto100m_food')
  (example,) = _read(tmp_path, 'howto100m_food').values()
  assert example['source'] == b'food_and_entertaining/how-A'


def test_no_usable_video_is_an_error(folder, tmp_path):
  root = tmp_path / 'media'
  root.mkdir()
  (root / 'HowTo100M_1166_videopaths.txt').write_text('path\ncars/gone\n')
  with pytest.raises(UserError, match=r"None of the 1 videos.*'missing': 1"):
    _prepare(root, tmp_path)


def test_two_workers_make_the_same_records(folder, data_dir, tmp_path):
  assert len(_prepare(folder, tmp_path, workers=2)) == 2
  np.testing.assert_equal(_read(tmp_path), _read(data_dir))
  one, two = (
    next(path.glob('videos/howto100m/*/skipped.json')).read_text()
    for path in (data_dir, tmp_path)
  )
  assert one == two
