"""Ranks and recalls against the release's numbers and a naive loop."""

import json

import numpy as np
import pytest

from avl_jax.retrieval import metrics
from tests.helpers import golden


def _ranks(scores, partners, **options):
  return metrics.ranks(*metrics.counts(scores, partners), **options)


def _golden_scores(params, arrays, sub):
  if f'{sub}/S' in arrays:
    return arrays[f'{sub}/S']
  name, rest = params['S_rule'].split('"')[1], params['S_rule'].split('"')[2]
  n = params['n']
  factor = float(rest.split('+')[1].split('*')[0])
  scores = golden.normal(name, (n, n)) + np.float32(factor) * np.eye(
    n, dtype=np.float32
  )
  assert golden.crc(scores.astype(np.float32)) == params['S_crc32']
  return scores


def _cases():
  description, _ = golden.load('metrics')
  return [
    (sub, flags)
    for sub, case in description['sub'].items()
    if 'results' in case['params'] and sub != 'average_meter'
    for flags in case['params']['results']
  ]


@pytest.mark.parametrize(('sub', 'flags'), _cases())
def test_release_rules_meet_the_release(sub, flags):
  description, arrays = golden.load('metrics')
  params = description['sub'][sub]['params']
  scores = _golden_scores(params, arrays, sub)
  if 'eval_lang_retrieval=1' in flags:
    scores = scores.T
  expected = params['results'][flags]
  ranks = _ranks(scores, np.arange(len(scores)), ties='release')
  queries = 1000 if 'eval_msrvtt=1' in flags else len(scores)
  got = metrics.summary(ranks, queries=queries)
  for ours, theirs in (('R@1', 'R1'), ('R@5', 'R5'), ('R@10', 'R10')):
    assert got[ours] == pytest.approx(expected[theirs], abs=1e-12), json.dumps(
      expected
    )
  assert got['median_rank'] == pytest.approx(expected['MR'], abs=1e-12)


def test_ranks_against_a_naive_loop():
  rng = np.random.default_rng(0)
  scores = rng.integers(0, 6, (40, 50)).astype(np.float32)
  partners = rng.permutation(50)[:40]
  expected = [
    sum(
      scores[i, j] >= scores[i, partners[i]]
      for j in range(50)
      if j != partners[i]
    )
    for i in range(40)
  ]
  assert _ranks(scores, partners).tolist() == expected


def test_a_constant_model_is_worst():
  assert _ranks(np.zeros((3, 7)), np.arange(3)).tolist() == [6, 6, 6]


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(value):
  with pytest.raises(ValueError, match='not finite'):
    _ranks(np.array([[0.0, 1.0], [value, 0.0]]), np.array([1, 0]))


def test_missing_queries():
  ranks = np.array([0, 4, 20])
  skipped = metrics.summary(ranks, queries=4)
  assert skipped['R@1'] == 0.25
  assert skipped['R@5'] == 0.5
  assert skipped['median_rank'] == 5
  last = metrics.summary(ranks, queries=4, gallery=30, missing='last')
  assert last['R@5'] == 0.5
  assert last['median_rank'] == (5 + 21) / 2
  assert last['mean_rank'] == (1 + 5 + 21 + 31) / 4


def test_unknown_options_are_refused():
  with pytest.raises(ValueError, match='against'):
    _ranks(np.zeros((1, 1)), np.zeros(1, int), ties='lucky')
  with pytest.raises(ValueError, match='skip'):
    metrics.summary(np.zeros(1, int), missing='lucky')
