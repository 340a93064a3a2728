"""A small run, a folder of media of all kinds, and their index."""

import contextlib
import functools
import os
import shutil

import numpy as np
import pytest
import soundfile
from PIL import Image

import avl_jax
import main
from avl_jax import trained_model
from avl_jax.backbones import feature_extractor
from avl_jax.search.update import file_features
from tests.helpers import media, own_folder, small_run

_load_once = functools.cache(trained_model.load)
VIDEOS = {'a.mp4': 3, 'sub/b.mkv': 12, 'long.mp4': 26}  # seconds


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch):
  """Quick commits: a killed process loses nothing of the page cache."""
  monkeypatch.setattr(os, 'fsync', lambda descriptor: None)


@pytest.fixture(scope='session')
def run(tmp_path_factory):
  """Workdir of a model that was not trained."""
  return make_run(tmp_path_factory.mktemp('model'))


def make_run(folder, num_frames=1000, **options):
  """A run of the smallest model; returns its folder."""
  return small_run.make_run(
    folder,
    'configs/own_videos.py',
    num_frames=num_frames,
    widths=(4, 4),
    blocks=(1,),
    **options,
  )[0]


@pytest.fixture(scope='session')
def good_media(tmp_path_factory):
  """A folder of three videos, one without sound, a picture and a recording."""
  folder = tmp_path_factory.mktemp('media')
  for number, (name, seconds) in enumerate(VIDEOS.items()):
    media.write(
      folder / name, own_folder.tone(number, seconds), seconds=seconds
    )
  media.write(folder / 'mute.mp4', None, seconds=7)
  picture = np.full((40, 60, 3), 90, np.uint8)
  Image.fromarray(picture).save(folder / 'sub/picture.png')
  soundfile.write(folder / 'sound.flac', own_folder.tone(7, 17), 16_000)
  own_folder.age(folder)
  return folder


@pytest.fixture
def media_dir(good_media, tmp_path):
  """A copy of `good_media` to change."""
  return shutil.copytree(good_media, tmp_path / 'media')


@contextlib.contextmanager
def replaced_networks():
  """Context in which the networks are replaced, and models loaded once."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(feature_extractor, 'Extractor', small_run.Extractor)
    patch.setattr(trained_model, 'load', _load_once)
    yield


@pytest.fixture(scope='module')
def networks():
  """`replaced_networks` in the tests of a file, not in those of others."""
  with replaced_networks():
    yield


@pytest.fixture(scope='session')
def make_index(run):
  """make_index(media folder, index folder, *arguments): runs --mode=index."""

  def make(media_dir, folder, *arguments, workdir=run):
    small_run.Extractor.calls.clear()
    command = [
      *('main.py', '--mode=index', f'--workdir={workdir}'),
      f'--config.search.media_dir={media_dir}',
      f'--config.search.index={folder}',
      *('--config.prepare.workers=1', '--config.compilation_cache='),
      *arguments,
    ]
    with replaced_networks():
      main.main(command)
    return sorted(small_run.Extractor.calls)

  return make


@pytest.fixture(scope='session')
def good_index(good_media, make_index, tmp_path_factory):
  """The index of `good_media`."""
  folder = tmp_path_factory.mktemp('made') / 'index'
  make_index(good_media, folder)
  return folder


@pytest.fixture
def fresh_dir(good_index, tmp_path):
  """A folder without an index, but with the features of `good_media`."""
  folder = tmp_path / 'fresh'
  name = file_features.FOLDER
  shutil.copytree(good_index / name, folder / name)
  return folder


@pytest.fixture
def index_dir(good_index, tmp_path):
  """A copy of `good_index` to change."""
  return shutil.copytree(good_index, tmp_path / 'index')


@pytest.fixture(scope='session')
def question(tmp_path_factory):
  path = tmp_path_factory.mktemp('question') / 'question.wav'
  soundfile.write(path, own_folder.tone(3, 2), 16_000, subtype='FLOAT')
  return path


@pytest.fixture(scope='session')
def searcher(good_index):
  with replaced_networks():
    searcher = avl_jax.load_index(good_index)
  with searcher:
    yield searcher
