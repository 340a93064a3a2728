"""Claims of the thesis, tested on made-up ranks of known difference."""

import itertools

import numpy as np
import pytest

from avl_jax.reports import claims
from avl_jax.retrieval.evaluation import Retrieval
from avl_jax.retrieval.result import Result
from avl_jax.retrieval.task import Task

N, SEEDS = 200, 3
TASKS = Task('audio', 'video'), Task('video', 'audio')
# Share of the queries whose match is in the top 10: first task, second task.
SHARES = {'good': (0.8, 0.1), 'same': (0.78, 0.1), 'bad': (0.3, 0.9)}
PRINTED = (('Heads', 'bad', 44.2), ('Heads', 'good', 54.3), ('All', 'same', 1))


def _retrieval(task, share, seed):
  ranks = np.full(N, 50)
  chosen = np.random.default_rng(seed).permutation(N)[: round(share * N)]
  ranks[chosen] = np.arange(len(chosen)) % 10
  facts = {'evaluation': 'test', 'task': task, 'gallery': N, 'median_rank': 1}
  recalls = {f'recall_at_{k}': np.mean(ranks < k) for k in (1, 5, 10)}
  results = [
    Result(subset=subset, queries=queries, **facts, **recalls)
    for subset, queries in (('a', 20), ('all', N))
  ]
  return Retrieval(
    evaluation='test',
    task=task,
    ids=np.arange(N),
    subsets=np.array(['a'] * 20 + ['b'] * (N - 20)),
    ranks=ranks,
    top=np.zeros((N, 5), int),
    results=tuple(results),
  )


@pytest.fixture(scope='module')
def results():
  numbers = itertools.count()
  return {
    run: [
      [
        _retrieval(t, x, next(numbers))
        for t, x in zip(TASKS, shares, strict=True)
      ]
      for _ in range(SEEDS)
    ]
    for run, shares in SHARES.items()
  }


def _text(results, *pairs):
  *_, block = claims.blocks(results, (), (('One thing.', pairs),))
  return block.text


def test_the_orders_are_side_by_side(results):
  blocks = list(claims.blocks(results, PRINTED, ()))
  tables = [block for block in blocks if hasattr(block, 'rows')]
  assert tables[0].header == ('Run', 'Thesis', 'test')
  assert tables[0].rows == [
    ['good', '54.3 (1)', '80.0 (1)'],
    ['bad', '44.2 (2)', '30.0 (2)'],
  ]
  assert tables[1].rows == [['same', '1.0 (1)', '78.0 (1)']]
  assert 'audio → video' in blocks[1].text


def test_a_claim_shows(results):
  text = _text(results, ('good', 'bad'))
  assert text.startswith('One thing. This shows here. good less bad: +50.0 ')
  low, high = (float(x) for x in text.split('(')[1].rstrip(').').split(' to '))
  assert 40 < low < 50 < high < 60


def test_a_claim_that_does_not_show(results):
  text = _text(results, ('good', 'same'), ('same', 'good'), ('bad', 'good'))
  assert text.startswith(
    'One thing. This does not show here. good did better than bad. '
    'No certain difference: good and same, same and good. '
    'good less same: +2.0 points'
  )
  assert 'bad less good: -50.0 points' in text


def test_a_run_of_one_seed_is_compared_with_all(results):
  """A model that is not trained has no seeds."""
  one = results | {'bad': results['bad'][:1]}
  assert 'good less bad: +50.0 points' in _text(one, ('good', 'bad'))


def test_nothing_claimed_and_nothing_tried(results):
  assert not list(claims.blocks(results, (), ()))
  assert not list(claims.rates({}, {}))


def test_rates():
  tried = {'x': {1e-3: 0.25, 3e-4: 0.25}, 'y': {1e-3: 0.5, 3e-4: 0.75}}
  *_, table = claims.rates(tried, {'x': 1e-3, 'y': 3e-4})
  assert table.header == ('Run', '0.001', '0.0003', 'Taken')
  assert table.rows == [
    ('x', '25.0 %', '25.0 %', '0.001'),
    ('y', '50.0 %', '75.0 %', '0.0003'),
  ]
