"""Comparison of runs: intervals, tables, examples side by side."""

import json

import numpy as np
import pytest
import scipy.stats

from avl_jax.features.media import Media
from avl_jax.reports import comparison, page
from avl_jax.retrieval import evaluation, metrics
from avl_jax.retrieval.embedding import Embedded
from avl_jax.retrieval.task import Task

N = 30


@pytest.mark.parametrize('hits', [3, 40, 57])
def test_interval_over_queries_is_binomial(hits):
  found = np.arange(60) < hits
  low, high = metrics.interval(found[None])
  for bound, share in ((low, 0.025), (high, 0.975)):
    expected = scipy.stats.binom.ppf(share, 60, hits / 60) / 60
    assert bound == pytest.approx(expected, abs=1 / 60 + 1e-9)
  # Seeds with the same hits do not narrow the interval.
  same = metrics.interval(np.stack([found] * 3))
  np.testing.assert_allclose(same, (low, high), atol=1 / 60 + 1e-9)


def test_interval_over_seeds():
  assert metrics.interval(np.array([[True] * 9, [False] * 9])) == (0, 1)
  assert metrics.interval(np.ones((2, 9), bool)) == (1, 1)


def _retrieval(noise, seed):
  rng = np.random.default_rng(seed)
  video = np.random.default_rng(0).normal(size=(N, 8)).astype(np.float32)
  audio = video + noise * rng.normal(size=video.shape).astype(np.float32)
  embedded = Embedded(
    {'audio': audio, 'video': video},
    np.array([f'clip{i}' for i in range(N)]),
    np.array(['seen'] * 20 + ['unseen'] * 10),
  )
  return evaluation.retrieval(
    embedded, 'toy', tasks=(('audio', 'video'), ('video', 'audio'))
  )


@pytest.fixture(scope='module')
def results():
  return {
    'before': [_retrieval(8.0, 1)],
    'after': [_retrieval(1.0, 1), _retrieval(2.0, 2), _retrieval(3.0, 3)],
  }


def test_rows_are_means_over_seeds(results):
  rows = comparison.summarise(results)
  assert [(row.task, row.subset, row.run) for row in rows] == [
    (task, subset, run)
    for task in (Task('audio', 'video'), Task('video', 'audio'))
    for subset in ('seen', 'unseen', 'all')
    for run in ('before', 'after')
  ]
  row = rows[1]
  ranks = np.stack([seed[0].ranks[:20] for seed in results['after']])
  assert row.seeds == 3
  assert row.gallery == N
  for k in (1, 5, 10):
    assert row.metric(f'R@{k}') == pytest.approx((ranks < k).mean())
  assert row.median_rank == pytest.approx(np.median(ranks + 1, axis=1).mean())
  assert (row.low, row.high) == metrics.interval(ranks < 10)
  assert row.low < row.recall_at_10 < row.high
  assert rows[0].recall_at_10 < row.recall_at_10


def test_queries_without_media_miss_in_the_interval_too():
  (result,) = evaluation.retrieval(
    Embedded(
      {'audio': np.eye(12, dtype=np.float32)},
      np.arange(12).astype(str),
      np.array(['test'] * 12),
    ),
    'toy',
    tasks=(('audio', 'audio'),),
    num_queries=24,
  )
  (row,) = comparison.summarise({'run': [[result]]})
  hits = np.arange(24) < round(24 * row.recall_at_10)
  assert row.recall_at_10 == 0.5
  assert (row.low, row.high) == metrics.interval(hits[None])


class _AllMedia(dict):
  def __missing__(self, index):
    rng = np.random.default_rng(index)
    return Media(
      id=f'clip{index}',
      caption=f'thing {index}',
      image=rng.integers(0, 255, (20, 20, 3), np.uint8),
      waveform=rng.normal(0, 0.1, 1600).astype(np.float32),
    )


def test_the_page_and_the_printed_table(results, tmp_path, capsys):
  results = {  # one task is enough
    run: [seed[:1] for seed in seeds] for run, seeds in results.items()
  }
  media = {'toy': _AllMedia()}
  comparison.write(tmp_path, results, media, side_by_side=('before', 'after'))
  printed = capsys.readouterr().out
  text = (tmp_path / 'report.md').read_text()
  rows = comparison.summarise(results)
  for block in comparison.tables(rows):
    assert isinstance(block, page.Table)
    assert block.markdown() in printed
    assert block.markdown() in text
  best = f'{100 * rows[1].recall_at_10:.1f} %'
  assert f'| after | 3 | {100 * rows[1].recall_at_1:.1f} % |' in printed
  assert f'| {best} | {100 * rows[1].low:.1f} % to ' in printed
  # The sizes of the groups follow from the ranks.
  early, late = (results[run][0][0].ranks < 5 for run in ('before', 'after'))
  for title, count in (
    ('only after', (late & ~early).sum()),
    ('only before', (early & ~late).sum()),
    ('both times', (early & late).sum()),
  ):
    assert f'{title}: {count} of {N} queries' in text
  assert text.count('after: Correct match at') == text.count(
    'before: Correct match at'
  )
  assert 'before: Correct match at' in text
  assert len(list((tmp_path / 'figures').glob('recall-*.png'))) == 1
  saved = json.loads((tmp_path / 'comparison.json').read_text())
  assert saved == [row.to_json() for row in rows]
