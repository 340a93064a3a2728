"""A page of a small model and of a folder with media of all kinds."""

import contextlib
import json
import os
import shutil

import httpx
import numpy as np
import pytest
import soundfile
from PIL import Image

import main
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.page import service
from avl_jax.page.options import Options
from avl_jax.search.query.searcher import Searcher
from tests.helpers import media, own_folder
from tests.helpers.page import living
from tests.search.conftest import make_run, replaced_networks

MANIFEST = """id,path,language,date
1,old.avi,fr,2019-05-04
2,sub/new.mp4,es,2024
"""


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch):
  """Quick commits: a killed process loses nothing of the page cache."""
  monkeypatch.setattr(os, 'fsync', lambda descriptor: None)


@pytest.fixture(scope='session')
def run(tmp_path_factory):
  """Workdir of a model that was not trained, and takes words."""
  folder = make_run(tmp_path_factory.mktemp('model'), word_dim=512)
  config = json.loads((folder / 'config.json').read_text())
  config['words']['vectors'] = 'sentence_encoder'
  (folder / 'config.json').write_text(json.dumps(config))
  return folder


@pytest.fixture(scope='session')
def media_dir(tmp_path_factory):
  """Videos that a browser plays or does not, a picture, a recording."""
  folder = tmp_path_factory.mktemp('media')
  write = media.write
  write(folder / 'old.avi', own_folder.tone(1, 12), seconds=12, codec='mp2')
  write(
    folder / 'sub/new.mp4', own_folder.tone(2, 4), seconds=4, picture='libx264'
  )
  write(folder / 'sub/deep/lost.mkv', own_folder.tone(3, 3), seconds=3)
  picture = np.full((40, 60, 3), 90, np.uint8)
  Image.fromarray(picture).save(folder / 'picture.png')
  soundfile.write(folder / '=sound.flac', own_folder.tone(7, 17), 16_000)
  (folder / 'manifest.csv').write_text(MANIFEST)
  own_folder.age(folder)
  return folder


@pytest.fixture(scope='session')
def index_dir(run, media_dir, tmp_path_factory):
  """The index of `media_dir`."""
  folder = tmp_path_factory.mktemp('made') / 'index'
  update(run, media_dir, folder)
  return folder


def update(run, media_dir, folder):
  """Runs --mode=index."""
  with replaced_networks():
    main.main(
      [
        *('main.py', '--mode=index', f'--workdir={run}'),
        f'--config.search.media_dir={media_dir}',
        f'--config.search.index={folder}',
        *('--config.prepare.workers=1', '--config.compilation_cache='),
      ]
    )


@pytest.fixture(scope='session')
def copied(index_dir, media_dir, tmp_path_factory):
  """copied(): a copy of the media and of their index, to change."""

  def copy():
    folder = tmp_path_factory.mktemp('copied')
    shutil.copytree(media_dir, folder / 'media')
    shutil.copytree(index_dir, folder / 'index')
    return folder / 'media', folder / 'index'

  return copy


@contextlib.contextmanager
def made(run, index, media_dir=None, **options):
  """Context with the application of an index."""
  options = Options(**options)
  background = np.random.default_rng(0).standard_normal((220, 16))
  with (
    replaced_networks(),
    Searcher(
      index,
      run,
      media_dir=media_dir,
      limits=service.limits_of(Limits(), options),
      recordings=lambda _: 30 * background.astype(np.float32),
    ) as searcher,
    service.made(searcher, options, Limits(), 0.1) as app,
  ):
    yield app


@pytest.fixture(scope='package')
def app(run, index_dir):
  """The application; the networks are replaced in the tests of this folder."""
  with made(run, index_dir, question_seconds=30.0) as app:
    yield app


@contextlib.contextmanager
def client_of(app, headers=None, **options):
  """Context with a client of a server of an application."""
  with (
    living.server(app, **options) as address,
    httpx.Client(base_url=address, headers=headers, timeout=60) as client,
  ):
    yield client


@pytest.fixture(scope='package')
def client(app):
  """A client of the application."""
  with client_of(app) as client:
    yield client


@pytest.fixture(scope='session')
def question(tmp_path_factory):
  """A recording."""
  path = tmp_path_factory.mktemp('question') / 'question.wav'
  soundfile.write(path, own_folder.tone(3, 2), 16_000, subtype='FLOAT')
  return path


@pytest.fixture
def ask(client, question):
  """ask(**fields): the answers to the recording, or to what `files` has."""

  def ask(files=None, status=200, **fields):
    files = files or {'file': ('question.wav', question.read_bytes())}
    if {'text', 'window'} & {*fields}:
      files = None
    response = client.post('api/v1/search', data=fields, files=files)
    assert response.status_code == status, response.text
    return response.json()

  return ask
