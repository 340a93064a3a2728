"""Exact answers: values, ties, and what they do not depend on."""

import numpy as np
import pytest

from avl_jax.search.store import products, scoring, snapshot
from avl_jax.search.store.index import Index
from tests.helpers.search import made_up


def _best(queries, vectors, k, block=5, counts=None):
  """`scoring.best` of one array, in blocks."""
  counts = np.ones(len(vectors), bool) if counts is None else counts

  def blocks():
    for start in range(0, len(vectors), block):
      chosen = slice(start, start + block)
      yield start, vectors[chosen], counts[chosen]

  fetch = vectors.__getitem__
  largest = np.linalg.norm(vectors.astype(float), axis=1).max()
  return scoring.best(queries, k, blocks, fetch, vectors.dtype, largest)


def _random(shape, dtype, seed=0):
  vectors = np.random.default_rng(seed).standard_normal(shape)
  return vectors.astype(dtype)


@pytest.mark.parametrize('dtype', ['float32', 'float16'])
@pytest.mark.parametrize('k', [1, 7, 60])
def test_the_same_as_sorting(dtype, k):
  """Numbers from -2 to 2: most scores are equal to others."""
  rng = np.random.default_rng(k)
  vectors = rng.integers(-2, 3, (50, 8)).astype(dtype)
  queries = rng.integers(-2, 3, (9, 8)).astype(np.float32)
  counts = rng.random(50) < 0.8
  scores, rows = _best(queries, vectors, k, counts=counts)
  left = np.flatnonzero(counts)
  expected = made_up.naive(queries, left, vectors[left], k)
  assert scores.tolist() == expected[0]
  assert rows.tolist() == expected[1]


@pytest.mark.parametrize('dtype', ['float32', 'float16'])
def test_equal_vectors_have_equal_scores(dtype):
  """Wherever they are in a block: the lower row comes first."""
  vectors = np.repeat(_random((1, 203), dtype), 97, axis=0)
  vectors[::3] = _random((1, 203), dtype, seed=1)
  queries = _random((5, 203), np.float32, seed=2)
  scores, rows = _best(queries, vectors, 97, block=31)
  one, other = np.arange(0, 97, 3), np.delete(np.arange(97), slice(0, 97, 3))
  for i in range(5):
    assert len(np.unique(scores[i])) == 2
    first, last = sorted((one, other), key=lambda group: rows[i, 0] != group[0])
    assert rows[i].tolist() == [*first, *last]


@pytest.mark.parametrize('dtype', ['float32', 'float16'])
def test_what_an_answer_does_not_depend_on(dtype):
  """The blocks, the other queries and k."""
  vectors = _random((300, 129), dtype)
  queries = _random((20, 129), np.float32, seed=1)
  scores, rows = _best(queries, vectors, 12)
  assert (
    scores.tolist() == made_up.naive(queries, np.arange(300), vectors, 12)[0]
  )
  for i in range(0, 20, 7):
    again = _best(queries[i : i + 1], vectors, 5, block=300)
    assert again[0].tolist() == [scores[i, :5].tolist()]
    assert again[1].tolist() == [rows[i, :5].tolist()]


def test_many_queries_go_in_parts(monkeypatch):
  monkeypatch.setattr(scoring, 'QUERIES', 4)
  monkeypatch.setattr(scoring, 'RESCORED', 3)
  vectors = _random((40, 16), np.float32)
  queries = _random((11, 16), np.float32, seed=1)
  _, rows = _best(queries, vectors, 40)
  assert rows.tolist() == np.argsort(-queries @ vectors.T).tolist()


def test_sums_that_cancel():
  """Scores far below the rounding of their terms are still in order."""
  vectors = np.ones((1000, 64), np.float32)
  vectors[:, :32] = 1e4
  vectors[:, 32:] = -1e4
  steps = np.random.default_rng(0).permutation(1000)
  vectors[:, 0] += steps / np.float32(1024)
  queries = np.full((1, 64), 1e4, np.float32)
  assert _best(queries, vectors, 9)[1].tolist() == [
    np.argsort(-steps)[:9].tolist()
  ]


def test_a_long_vector_hides_no_other():
  """Its length makes every row a candidate; the answer stays exact."""
  vectors = _random((200, 32), np.float32)
  vectors[7] = 1e15
  queries = _random((2, 32), np.float32, seed=1)
  expected = made_up.naive(queries, np.arange(200), vectors, 6)
  assert _best(queries, vectors, 6)[1].tolist() == expected[1]


def test_blocks_of_an_index(tmp_path, monkeypatch):
  """Several shards, blocks and dropped files."""
  monkeypatch.setattr(snapshot, 'ROWS', 4)
  monkeypatch.setattr('avl_jax.search.store.shards.LIMIT', 4 * made_up.DIM * 10)
  with Index.create(tmp_path / 'index', made_up.description()) as index:
    made = [
      made_up.add(index, f'{number:02d}.mp4', 3 + number % 3, seed=number)
      for number in range(12)
    ]
    index.drop('03.mp4')
    index.drop('07.mp4')
    assert len(list(index.folder.glob('video.*'))) > 3
    rows = np.concatenate([index.rows_of(f.path) for f in index.files()])
    kept = [m['audio'] for i, m in enumerate(made) if i not in (3, 7)]
    queries = _random((4, made_up.DIM), np.float32, seed=50)
    for k in (1, 5, 100):
      expected = made_up.naive(queries, rows, np.concatenate(kept), k)
      scores, found = index.search('audio', queries, k)
      assert found.tolist() == expected[1]
      assert scores.tolist() == expected[0]


@pytest.fixture(params=['numkong', 'NumPy'])
def kernel(request, monkeypatch):
  """Both ways to score half precision."""
  if request.param == 'NumPy':
    monkeypatch.setattr(products, 'fast', None)
  elif products.fast is None:
    pytest.skip('needs `pip install numkong`')


def test_half_precision_is_widened_exactly(monkeypatch):
  """Every finite number, the smallest ones and both zeros too."""
  monkeypatch.setattr(products, 'fast', None)
  bits = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
  bits = bits[np.isfinite(bits)][: 15 * 4096].reshape(15 * 64, 64)
  unit = np.eye(64, dtype=np.float32)
  scores, _ = products.scorer(unit, np.dtype(np.float16))
  assert np.array_equal(scores(bits), bits.astype(np.float32))


@pytest.mark.parametrize('size', [1e-30, 1.0, 1e9])
def test_scores_are_as_near_as_promised(kernel, size):
  """For queries of any length; `best` relies on it."""
  vectors = _random((1500, 257), np.float16)
  vectors[::7] *= np.float16(1e-5)  # Below the normal range of float16.
  queries = np.float32(size) * _random((3, 257), np.float32, seed=1)
  queries[1, 5:] *= np.float32(1e-4)
  score, off = products.scorer(queries, vectors.dtype)
  lengths = np.linalg.norm(vectors.astype(float), axis=1).max()
  margins, _ = scoring._bounds(queries, off, lengths)
  exact = queries.astype(float) @ vectors.astype(float).T
  assert np.all(np.abs(score(vectors).T - exact) <= margins[:, None] / 2)
  long = np.linalg.norm(queries.astype(float), axis=1) * lengths
  assert np.all(margins < 1e-4 * long)
  assert np.abs(exact).max() > 10 * size


def test_kernels_agree(kernel, monkeypatch):
  monkeypatch.setattr(products, 'PART', 130)
  monkeypatch.setattr(products, 'WIDENED', 150)
  vectors = _random((900, 200), np.float16)
  queries = _random((4, 200), np.float32, seed=1)
  expected = made_up.naive(queries, np.arange(900), vectors, 20)
  scores, rows = _best(queries, vectors, 20, block=400)
  assert scores.tolist() == expected[0]
  assert rows.tolist() == expected[1]


@pytest.mark.parametrize('count', [1, products.FEW + 1])
@pytest.mark.parametrize('value', [np.inf, -np.inf, np.nan])
def test_half_vectors_that_are_no_numbers(count, value):
  """Wide ones are finite while they are compared, so all are among the best."""
  vectors = _random((6, 8), np.float16)
  largest = np.linalg.norm(vectors.astype(float), axis=1).max()
  vectors[4, 2] = value
  queries = np.abs(_random((count, 8), np.float32))
  with pytest.raises(scoring.DamagedRowError) as error:
    scoring.best(
      queries,
      6,
      lambda: [(0, vectors, np.ones(6, bool))],
      vectors.__getitem__,
      vectors.dtype,
      largest,
    )
  assert error.value.row == 4
