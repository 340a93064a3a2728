"""Files beside the journal of an index: damage, suffixes, interruptions."""

import shutil

import numpy as np
import pytest
from PIL import Image

import avl_jax
from avl_jax.errors import UserError
from avl_jax.features import images
from avl_jax.search.query import backgrounds
from avl_jax.search.store.index import Index
from tests.helpers import own_folder
from tests.helpers.search.contents import KINDS, assert_same, contents
from tests.helpers.search.damage import DAMAGE

pytestmark = pytest.mark.usefixtures('networks')


def _scores(answers):
  """Without the order of equal ones, which is that of the rows."""
  return sorted((item.score, item.path, item.start) for item in answers.items)


@pytest.mark.parametrize('damage', ['flipped', 'empty', 'zeros', 'missing'])
def test_each_kind_of_file_is_named_or_made_again(
  damage, make_index, good_media, index_dir, good_index
):
  asked = avl_jax.load_index(index_dir)
  query = np.ones(asked.index.description.dim, np.float32)
  expected = _scores(asked.search(query))
  for pattern in (
    *('audio.*', 'media.json', 'run.json', 'extracted/*/*/*.npz'),
    *('progress.json', 'asked/*/*.npz'),
  ):
    for path in index_dir.glob(pattern):
      DAMAGE[damage](path)
  arguments = []
  if damage in ('empty', 'missing'):
    arguments = ['--config.search.rebuild=True']
    with pytest.raises(UserError, match=r'audio\.000000000000\.float32'):
      make_index(good_media, index_dir)
  make_index(good_media, index_dir, *arguments)
  found = contents(index_dir)
  for path, kept in contents(good_index).items():
    assert_same(([], *found[path][1:]), ([], *kept[1:]))
  assert _scores(avl_jax.load_index(index_dir).search(query)) == expected


@pytest.mark.parametrize('damage', DAMAGE)
def test_damaged_background_questions_are_none(damage, tmp_path):
  vectors = np.random.default_rng(1).standard_normal((300, 8), np.float32)
  backgrounds.write(tmp_path, 'model', vectors)
  np.testing.assert_array_equal(backgrounds.read(tmp_path, 'model'), vectors)
  DAMAGE[damage](tmp_path / backgrounds.FILE)
  assert backgrounds.read(tmp_path, 'model') is None


def test_a_corrected_suffix_makes_a_new_file(make_index, media_dir, index_dir):
  shutil.copy(media_dir / 'sub/picture.png', media_dir / 'photo.wav')
  with (media_dir / 'photo.wav').open('ab') as file:
    file.write(b' ')  # Not the same content as that of the other picture.
  own_folder.age(media_dir)
  make_index(media_dir, index_dir)
  assert contents(index_dir)['photo.wav'][1] == []
  (media_dir / 'photo.wav').rename(media_dir / 'photo.png')
  make_index(media_dir, index_dir)
  found = contents(index_dir)
  assert found.keys() == {*KINDS, 'photo.png'}
  assert_same(
    ([], *found['photo.png'][1:]), ([], *found['sub/picture.png'][1:])
  )


def test_a_content_of_two_kinds_has_features_of_each(
  make_index, media_dir, index_dir
):
  """A video that is called sound, beside the same one that is not."""
  shutil.copy(media_dir / 'a.mp4', media_dir / 'a.mp3')
  own_folder.age(media_dir)
  assert make_index(media_dir, index_dir) == []
  before = contents(index_dir)
  assert len(before['a.mp4'][2]['video'])
  assert not len(before['a.mp3'][2]['video'])
  (media_dir / 'a.mp3').rename(media_dir / 'b.mp4')
  (media_dir / 'a.mp4').unlink()
  make_index(media_dir, index_dir)
  found = contents(index_dir)
  assert found.keys() == {*KINDS, 'b.mp4'} - {'a.mp4'}
  assert_same(found['b.mp4'], before['a.mp4'])


def test_pictures_are_decoded_elsewhere(
  make_index, media_dir, index_dir, monkeypatch
):
  """An untrusted picture may end the process that decodes it."""
  Image.new('RGB', (30, 30), 'red').save(media_dir / 'red.png')
  monkeypatch.setattr(images, 'read_image', None)
  make_index(media_dir, index_dir)
  assert contents(index_dir)['red.png'][1] == [(0, 0)]


def test_an_index_that_is_being_made_can_be_asked(
  make_index, good_media, tmp_path, monkeypatch
):
  add, query = Index.add, None

  def stop(index, *args, **kwargs):
    if index.count:
      raise KeyboardInterrupt
    add(index, *args, **kwargs)

  with monkeypatch.context() as patch:
    patch.setattr(Index, 'add', stop)
    with pytest.raises(KeyboardInterrupt):
      make_index(good_media, tmp_path / 'index')
  searcher = avl_jax.load_index(tmp_path / 'index')
  query = np.ones(searcher.index.description.dim, np.float32)
  assert [item.path for item in searcher.search(query).items] == ['a.mp4']
  shutil.rmtree(tmp_path / 'index')
  with pytest.raises(UserError, match='holds no index'):
    avl_jax.load_index(tmp_path / 'index')
