"""Ranking by tiles against NumPy's full matrix of scores."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from avl_jax.errors import ConfigError
from avl_jax.retrieval import ranking, tiles
from tests.helpers.ports import free_port
from tests.helpers.twins import pairs_with_twins

ROOT = pathlib.Path(__file__).parents[2]
# Ranks what `pairs_with_twins` makes, as process INDEX of two.
PROGRAM = """
import json, sys
from avl_jax import multihost
from avl_jax.retrieval import ranking
from tests.helpers.twins import pairs_with_twins
multihost.connect(sys.argv[1], 2, int(sys.argv[2]))
found = ranking.rank_both_ways(*pairs_with_twins(), block=32)
print(json.dumps([[array.tolist() for array in one] for one in found]))
"""


def _naive(x, y):
  """Better, equal and best of each row of x, by a loop in float64.

  Rows that are equal have equal sums, because NumPy adds each alone.
  """
  scores = np.array(
    [[np.sum(a * b) for b in y.astype(float)] for a in x.astype(float)]
  )
  own = np.diag(scores)[:, None]
  best = np.argsort(-scores, axis=1, kind='stable')[:, :5]
  return (scores > own).sum(1), (scores == own).sum(1), best


def _check(found, x, y):
  for one, sides in zip(found, ((x, y), (y, x)), strict=True):
    for array, expected in zip(one, _naive(*sides), strict=True):
      np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(('block', 'count'), [(16, 1), (16, 3), (32, 8)])
def test_tiles_on_devices_meet_the_full_matrix(block, count, use_devices):
  use_devices(count)
  x, y = pairs_with_twins()
  found = ranking.rank_both_ways(x, y, block=block)
  _check(found, x, y)
  assert found[0].better.max() > 5
  assert set(found[0].equal) == set(found[1].equal) == {1, 2, 3}


def test_two_hosts_share_the_tiles():
  port = free_port()
  processes = [
    subprocess.Popen(
      [sys.executable, '-c', PROGRAM, f'127.0.0.1:{port}', str(index)],
      cwd=ROOT,
      stdout=subprocess.PIPE,
      text=True,
      env=os.environ
      | {'XLA_FLAGS': '--xla_force_host_platform_device_count=2'},
    )
    for index in range(2)
  ]
  lines = [each.communicate(timeout=120)[0] for each in processes]
  for line in lines:
    found = json.loads(line.splitlines()[-1])
    _check(found, *pairs_with_twins())


def test_each_score_is_computed_once(monkeypatch):
  computed, compute = [], tiles.compute

  def count(x, y, *args):
    computed.append(len(x) * len(y))
    return compute(x, y, *args)

  monkeypatch.setattr(tiles, 'compute', count)
  ranking.rank_both_ways(*pairs_with_twins(), block=16)
  assert computed == [16 * 16] * 16


@pytest.mark.parametrize('width', [7, 300])
def test_equal_rows_score_the_same_wherever_they_are(width):
  rng = np.random.default_rng(1)
  few = rng.normal(size=(2, 7, width)).astype(np.float32)
  which = rng.integers(0, 7, 150)
  x, y = few[:, which]
  counts = np.bincount(which, minlength=7)[which]
  for found in ranking.rank_both_ways(x, y, block=48):
    np.testing.assert_array_equal(found.equal, counts)
    # Whole kinds are better than another, never a part of one.
    sizes = set(found.better[np.unique(which, return_index=True)[1]].tolist())
    assert len(sizes) > 1
    for kind in range(7):
      assert len(set(found.better[which == kind])) == 1


def test_small_galleries_and_ties():
  x = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
  for better, equal, best in ranking.rank_both_ways(x, x, top=5):
    assert better.tolist() == [0, 0, 0]
    assert equal.tolist() == [2, 2, 1]
    assert best.tolist() == [[0, 1, 2], [0, 1, 2], [2, 0, 1]]


def test_a_constant_model_ranks_in_the_order_of_the_gallery():
  zeros = np.zeros((40, 3), np.float32)
  for better, equal, best in ranking.rank_both_ways(zeros, zeros, block=16):
    assert not better.any()
    assert (equal == 40).all()
    assert (best == np.arange(5)).all()


def test_many_best_items():
  x, y = pairs_with_twins()
  found, _ = ranking.rank_both_ways(x, y, block=16, top=40)
  scores = x.astype(float) @ y.T.astype(float)
  chosen = np.take_along_axis(scores, found.best, 1)
  np.testing.assert_allclose(chosen, -np.sort(-scores)[:, :40], atol=1e-6)


def test_what_cannot_be_ranked_is_refused():
  x = np.array([[1, np.nan], [0, 1]], np.float32)
  with pytest.raises(ValueError, match='A score is NaN'):
    ranking.rank_both_ways(x, np.ones_like(x))
  with pytest.raises(ConfigError, match='gallery of an evaluation is empty'):
    ranking.rank_both_ways(x[:0], x[:0])


def test_a_score_that_is_not_finite_has_no_rank():
  x = np.array([[1e30, 0], [0, 1]], np.float32)
  found, _ = ranking.rank_both_ways(x, x)
  assert found.equal.tolist() == [0, 1]
