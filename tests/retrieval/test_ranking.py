"""Ranking in blocks against numpy's full matrix of scores."""

import numpy as np
import pytest

from avl_jax.retrieval import ranking


@pytest.mark.parametrize('block', [7, 53, 512])
def test_blocks_meet_the_full_matrix(block):
  rng = np.random.default_rng(0)
  y = rng.normal(size=(53, 8)).astype(np.float32)
  x = y + rng.normal(size=y.shape).astype(np.float32)
  better, equal, top = ranking.rank_against_gallery(x, y, block=block)
  scores = x.astype(np.float64) @ y.T
  order = np.argsort(-scores, axis=1)
  np.testing.assert_array_equal(top, order[:, :5])
  ranks = [np.flatnonzero(order[i] == i)[0] for i in range(len(x))]
  np.testing.assert_array_equal(better, ranks)
  assert max(ranks) > 5
  assert (equal == 1).all()


def test_small_galleries_and_ties():
  x = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
  better, equal, top = ranking.rank_against_gallery(x, x, top=5)
  assert better.tolist() == [0, 0, 0]
  assert equal.tolist() == [2, 2, 1]
  assert top.shape == (3, 3)
  assert [set(row) for row in top[:2, :2].tolist()] == [{0, 1}, {0, 1}]


def test_nan_is_refused():
  x = np.array([[1, np.nan], [0, 1]], np.float32)
  with pytest.raises(ValueError, match='A score is NaN'):
    ranking.rank_against_gallery(x, np.ones_like(x))
