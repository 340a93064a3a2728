"""Evaluation against numpy's full matrix of scores."""

import dataclasses
import json
import types

import numpy as np
import pytest

from avl_jax.errors import ConfigError
from avl_jax.models.avlnet import AVLnet
from avl_jax.retrieval import evaluation
from avl_jax.retrieval.embedding import Embedded
from avl_jax.retrieval.result import Result
from avl_jax.retrieval.task import Task


def _embedded(count=53, noise=1.0):
  rng = np.random.default_rng(0)
  video = rng.normal(size=(count, 8)).astype(np.float32)
  audio = video + noise * rng.normal(size=video.shape).astype(np.float32)
  return Embedded(
    {'audio': audio, 'video': video},
    np.array([f'clip{i}' for i in range(count)]),
    np.array((['seen'] * 40 + ['unseen'] * (count - 40))[:count]),
  )


def test_both_directions_and_each_subset_against_the_whole_gallery():
  embedded = _embedded()
  results = evaluation.retrieval(
    embedded, 'toy', tasks=(('audio', 'video'), ('video', 'audio'))
  )
  x, y = embedded.embeddings['audio'], embedded.embeddings['video']
  for result, scores in zip(results, (x @ y.T, y @ x.T), strict=True):
    own = np.diag(scores)[:, None]
    ranks = (scores > own).sum(1)
    np.testing.assert_array_equal(result.ranks, ranks)
    rows = {row.subset: row for row in result.results}
    assert list(rows) == ['seen', 'unseen', 'all']
    for label, chosen in (('seen', ranks[:40]), ('unseen', ranks[40:])):
      assert rows[label].recall_at_5 == pytest.approx(np.mean(chosen < 5))
      assert rows[label].median_rank == np.median(chosen) + 1
      assert rows[label].gallery == 53
      assert rows[label].chance_recall_at_10 == 10 / 53
    assert rows['all'].queries == 53
  assert results[1].results[0].task == Task('video', 'audio')
  scalars = evaluation.scalars(results)
  recall = results[0].results[2].recall_at_10
  assert scalars['toy/all/audio_to_video/R@10'] == recall


def test_a_split_may_be_called_all():
  embedded = _embedded()
  subsets = np.where(embedded.subsets == 'seen', 'all', embedded.subsets)
  (result,) = evaluation.retrieval(
    dataclasses.replace(embedded, subsets=subsets),
    'toy',
    tasks=(('audio', 'video'),),
    num_queries=60,
  )
  rows = {row.subset: row for row in result.results}
  assert list(rows) == ['all', 'unseen', 'all splits']
  assert [row.queries for row in rows.values()] == [40, 13, 60]
  assert rows['all'].recall_at_5 == np.mean(result.ranks[:40] < 5)
  alone = dataclasses.replace(embedded, subsets=np.full(53, 'all'))
  (result,) = evaluation.retrieval(alone, 'toy', tasks=(('audio', 'video'),))
  assert [row.subset for row in result.results] == ['all']
  assert len(evaluation.scalars([result])) == 4


def test_an_empty_gallery_is_told():
  empty = types.SimpleNamespace(num_examples=0, num_queries=0, fingerprint='')
  evaluate = evaluation.make_evaluate(
    AVLnet(), {'toy': empty}, tasks=(('audio', 'video'),)
  )
  with pytest.raises(ConfigError, match='no examples'):
    evaluate({})
  with pytest.raises(ConfigError, match='gallery of an evaluation is empty'):
    evaluation.retrieval(_embedded(0), 'toy', tasks=(('audio', 'video'),))


def test_expressions_add_embeddings():
  embedded = _embedded()
  (result,) = evaluation.retrieval(
    embedded, 'toy', tasks=(('video', 'audio+video'),)
  )
  x, y = embedded.embeddings['audio'], embedded.embeddings['video']
  scores = y @ (x + y).T
  np.testing.assert_array_equal(
    result.ranks, (scores > np.diag(scores)[:, None]).sum(1)
  )
  with pytest.raises(ValueError, match="no embedding 'text'"):
    evaluation.retrieval(embedded, 'toy', tasks=(('text', 'video'),))


def test_queries_without_media_are_mistakes():
  embedded = _embedded()
  (plain,) = evaluation.retrieval(embedded, 'toy', tasks=(('audio', 'video'),))
  (result,) = evaluation.retrieval(
    embedded,
    'toy',
    tasks=(('audio', 'video'),),
    num_queries=60,
    missing='last',
  )
  before, after = plain.results[-1], result.results[-1]
  assert after.queries == 60
  assert after.recall_at_10 == pytest.approx(before.recall_at_10 * 53 / 60)
  ranks = np.concatenate([result.ranks + 1, np.full(7, 54)])
  assert after.mean_rank == pytest.approx(ranks.mean())
  assert result.results[0] == plain.results[0]


def test_a_constant_model_is_not_rewarded():
  embedded = _embedded()
  zeros = {name: 0 * x for name, x in embedded.embeddings.items()}
  constant = Embedded(zeros, embedded.ids, embedded.subsets)
  (result,) = evaluation.retrieval(
    constant, 'toy', tasks=(('audio', 'video'),), ties='against'
  )
  assert result.results[-1].recall_at_10 == 0
  assert result.results[-1].median_rank == 53
  (result,) = evaluation.retrieval(
    constant, 'toy', tasks=(('audio', 'video'),), ties='release'
  )
  assert result.results[-1].recall_at_1 == 1


def test_the_record_can_be_read_back(tmp_path):
  results = evaluation.retrieval(
    _embedded(), 'toy', tasks=(('audio', 'video'),), data='f00d'
  )
  assert results[0].results[0].data == 'f00d'
  evaluation.write_record(tmp_path / 'evaluation.json', results, {'step': 3})
  record = json.loads((tmp_path / 'evaluation.json').read_text())
  assert record['facts'] == {'step': 3}
  assert [Result.from_json(row) for row in record['rows']] == list(
    results[0].results
  )
  assert record['rows'][0]['task'] == 'audio -> video'


def test_fingerprint_of_a_model():
  tree = {'params': {'a': np.arange(3.0), 'b': np.zeros(2)}}
  first = evaluation.fingerprint(tree)
  assert evaluation.fingerprint({'params': dict(tree['params'])}) == first
  tree['params']['a'][1] = np.nextafter(1, 2)
  assert evaluation.fingerprint(tree) != first


def test_media_of_the_evaluations_that_have_any():
  with_media = types.SimpleNamespace(has_media=True, media=['media'])
  without = types.SimpleNamespace(has_media=False)
  evaluations = {'a': with_media, 'b': without}
  assert evaluation.media_of(evaluations) == {'a': ['media']}
