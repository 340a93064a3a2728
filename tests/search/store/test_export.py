"""Exported vectors, read back with NumPy and FAISS."""

import json
import sys

import numpy as np
import pytest

from avl_jax.errors import ConfigError, UserError
from avl_jax.search.store import export
from avl_jax.search.store.index import Index
from tests.helpers.search import made_up


@pytest.fixture(params=['float32', 'float16'])
def index(request, tmp_path, monkeypatch):
  """Four files in two shards; one was dropped, one has no sound."""
  monkeypatch.setattr('avl_jax.search.store.shards.LIMIT', 8 * made_up.DIM * 2)
  monkeypatch.setattr(export, 'ROWS', 3)
  like = made_up.description(request.param)
  with Index.create(tmp_path / 'index', like) as made:
    for number, path in enumerate(('é.mp4', 'b.mp4', 'c.mp4')):
      made_up.add(made, path, 4, number)
    made_up.add(made, 'd.png', 1, 9, audio=np.zeros(1, bool))
    made.drop('b.mp4')
    yield made


def test_arrays_and_lines(index, tmp_path):
  vectors, ids = export.write(index, 'audio', tmp_path / 'out')
  loaded = np.load(vectors, mmap_mode='r')
  assert loaded.dtype == index.description.dtype
  rows = [0, 1, 2, 3, 8, 9, 10, 11]
  assert np.array_equal(loaded, index.vectors('audio', rows))
  lines = [json.loads(line) for line in ids.read_text().splitlines()]
  assert [line['row'] for line in lines] == rows
  assert lines[5] == {'row': 9, 'path': 'c.mp4', 'start': 5.0, 'end': 15.0}
  assert {path.name for path in vectors.parent.iterdir()} == {
    'vectors.npy',
    'ids.jsonl',
  }


def test_mistakes(index, tmp_path):
  with pytest.raises(ConfigError, match='no vectors'):
    export.write(index, 'sum', tmp_path)
  (tmp_path / 'file').touch()
  with pytest.raises(UserError, match='cannot be written'):
    export.write(index, 'audio', tmp_path / 'file')


def test_faiss_is_missing(index, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'faiss', None)
  with pytest.raises(UserError, match=r'pip install .faiss-cpu==1\.15\.1'):
    export.write_faiss(index, 'video', tmp_path / 'index.faiss')


def test_faiss(index, tmp_path):
  faiss = pytest.importorskip('faiss')
  path = export.write_faiss(index, 'video', tmp_path / 'out' / 'index.faiss')
  read = faiss.read_index(str(path))
  queries = np.random.default_rng(5).standard_normal((6, made_up.DIM), 'f4')
  scores, rows = read.search(queries, 9)
  expected = index.search('video', queries, 9)
  assert rows.tolist() == expected[1].tolist()
  assert np.abs(scores - expected[0]).max() < 1e-5
  (tmp_path / 'other.tmp').mkdir()
  with pytest.raises(UserError, match='other cannot be written: FAISS cannot'):
    export.write_faiss(index, 'video', tmp_path / 'other')
