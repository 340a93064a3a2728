"""Adding, moving, dropping and finding the windows of files."""

import pathlib

import numpy as np
import pytest

from avl_jax.errors import ConfigError, UserError
from avl_jax.files import InUseError
from avl_jax.search.store.index import Index, Window
from tests.helpers.search import made_up


@pytest.fixture
def folder(tmp_path):
  return tmp_path / 'index'


@pytest.fixture
def index(folder):
  with Index.create(folder, made_up.description()) as opened:
    yield opened


def _queries(q=3, seed=99):
  return np.random.default_rng(seed).standard_normal((q, made_up.DIM))


def test_what_was_added_is_found(index, folder):
  first = made_up.add(index, 'a/1.mp4', 4, seed=1)
  second = made_up.add(index, 'b.wav', 3, seed=2)
  with Index.open(folder) as again:
    assert again.description == made_up.description()
    assert again.files() == [made_up.file('a/1.mp4'), made_up.file('b.wav')]
    assert again.count == 7
    assert again.rows_of('b.wav').tolist() == [4, 5, 6]
    assert again.window(5) == Window('b.wav', 5.0, 15.0)
    for name in ('video', 'audio'):
      every = np.concatenate([first[name], second[name]])
      assert np.array_equal(again.vectors(name, np.arange(7)), every)
      scores, rows = again.search(name, _queries(), 4)
      expected = made_up.naive(
        _queries().astype(np.float32), np.arange(7), every, 4
      )
      assert scores.tolist() == expected[0]
      assert rows.tolist() == expected[1]
      assert again.check() == []


def test_the_folder_may_be_relative(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  folder = pathlib.Path('runs/index')
  with Index.create(folder, made_up.description()) as opened:
    made_up.add(opened, 'a.mp4', 2, seed=1)
  with Index.open(folder, write=True) as opened:
    made_up.add(opened, 'b.mp4', 3, seed=2)
  with Index.open(tmp_path / folder) as opened:
    assert opened.count == 5
    assert opened.check() == []


def test_windows_without_a_vector_are_not_found(index):
  some = np.array([False, True, False])
  made = made_up.add(index, 'a.mp4', 3, seed=1, audio=some)
  made_up.add(index, 'b.png', 1, seed=2, audio=np.zeros(1, bool))
  scores, rows = index.search('audio', -made['audio'][1:2], 3)
  assert rows.tolist() == [[1, -1, -1]]
  assert scores[0, 0] < 0
  assert scores[0, 1:].tolist() == [-np.inf, -np.inf]
  assert index.rows_with('audio').tolist() == [1]
  assert index.rows_with('video').tolist() == [0, 1, 2, 3]
  with pytest.raises(KeyError, match='Row 3 has no vector'):
    index.vectors('audio', [1, 3])


def test_files_replace_move_and_go(index, folder):
  made_up.add(index, 'a.mp4', 4, seed=1)
  made = made_up.add(index, 'b.mp4', 3, seed=2)
  replaced = made_up.add(index, 'a.mp4', 2, seed=3)
  assert index.rows_of('a.mp4').tolist() == [7, 8]
  index.move('sha of b.mp4', 'c/b.mp4')
  assert index.window(4) == Window('c/b.mp4', 0.0, 10.0)
  assert np.array_equal(index.vectors('video', [4, 5, 6]), made['video'])
  assert [file.path for file in index.files()] == ['a.mp4', 'c/b.mp4']
  _, rows = index.search('video', _queries(), 9)
  assert sorted(rows[0].tolist()) == [-1, -1, -1, -1, 4, 5, 6, 7, 8]
  index.drop('c/b.mp4')
  for gone in (0, 4, 9, -1):
    with pytest.raises(KeyError):
      index.window(gone)
  with Index.open(folder) as again:
    assert again.count == 2
    assert np.array_equal(again.vectors('video', [7, 8]), replaced['video'])
    assert again.search('video', _queries(), 1)[1].min() == 7


def test_some_files_alone_are_searched(index):
  for number in range(4):
    made_up.add(index, f'{number}.mp4', 3, seed=number)
  _, rows = index.search('video', _queries(), 12, among={'1.mp4', '3.mp4'})
  assert sorted(rows[0].tolist()) == [-1] * 6 + [3, 4, 5, 9, 10, 11]
  assert (index.search('video', _queries(), 2, among=())[1] == -1).all()


def test_one_writer(index, folder):
  with pytest.raises(InUseError, match='in use by process'):
    Index.open(folder, write=True)
  index.close()
  with Index.open(folder, write=True) as second:
    made_up.add(second, 'a.mp4', 1, seed=1)


def test_mistakes(index, folder, tmp_path):
  made_up.add(index, 'a.mp4', 2, seed=1)
  with pytest.raises(ConfigError, match='no vectors'):
    index.search('sum', _queries(), 1)
  with pytest.raises(ConfigError, match='shape'):
    index.search('video', np.ones((1, 3)), 1)
  with pytest.raises(UserError, match='finite'):
    index.search('video', _queries() * np.nan, 1)
  with pytest.raises(KeyError):
    index.drop('b.mp4')
  with pytest.raises(UserError, match='holds no index'):
    Index.open(tmp_path / 'nothing')
  assert not (tmp_path / 'nothing').exists()
  index.close()
  with pytest.raises(UserError, match='already holds'):
    Index.create(folder, made_up.description())
