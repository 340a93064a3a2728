"""Retrieval against numpy's full matrix; every example exactly once."""

import json

import numpy as np
import pytest

from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.retrieval import evaluation


def _embedded(count=53, noise=1.0):
  rng = np.random.default_rng(0)
  video = rng.normal(size=(count, 8)).astype(np.float32)
  audio = video + noise * rng.normal(size=video.shape).astype(np.float32)
  return evaluation.Embedded(
    {'audio': audio, 'video': video},
    np.array([f'clip{i}' for i in range(count)]),
    np.array(['seen'] * 40 + ['unseen'] * (count - 40)),
  )


@pytest.mark.parametrize('block', [7, 53, 512])
def test_blocks_meet_the_full_matrix(block):
  embedded = _embedded()
  x, y = embedded.embeddings['audio'], embedded.embeddings['video']
  better, equal, top = evaluation.compare(x, y, block=block)
  scores = (x.astype(np.float64) @ y.T).astype(np.float64)
  order = np.argsort(-scores, axis=1)
  np.testing.assert_array_equal(top, order[:, :5])
  ranks = [np.flatnonzero(order[i] == i)[0] for i in range(len(x))]
  np.testing.assert_array_equal(better, ranks)
  assert (equal == 1).all()


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
    rows = {row['subset']: row for row in result.rows}
    assert list(rows) == ['seen', 'unseen', 'all']
    for label, chosen in (('seen', ranks[:40]), ('unseen', ranks[40:])):
      assert rows[label]['R@5'] == pytest.approx(np.mean(chosen < 5))
      assert rows[label]['median_rank'] == np.median(chosen) + 1
      assert rows[label]['gallery'] == 53
      assert rows[label]['chance_R@10'] == 10 / 53
    assert rows['all']['queries'] == 53
  assert results[1].rows[0]['task'] == 'video -> audio'
  scalars = evaluation.scalars(results)
  assert scalars['toy/all/audio_to_video/R@10'] == results[0].rows[2]['R@10']


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
  before, after = plain.rows[-1], result.rows[-1]
  assert after['queries'] == 60
  assert after['R@10'] == pytest.approx(before['R@10'] * 53 / 60)
  ranks = np.concatenate([result.ranks + 1, np.full(7, 54)])
  assert after['mean_rank'] == pytest.approx(ranks.mean())
  assert result.rows[0] == plain.rows[0]


def test_a_constant_model_is_not_rewarded():
  embedded = _embedded()
  zeros = {name: 0 * x for name, x in embedded.embeddings.items()}
  constant = evaluation.Embedded(zeros, embedded.ids, embedded.subsets)
  (result,) = evaluation.retrieval(
    constant, 'toy', tasks=(('audio', 'video'),), ties='against'
  )
  assert result.rows[-1]['R@10'] == 0
  assert result.rows[-1]['median_rank'] == 53
  (result,) = evaluation.retrieval(
    constant, 'toy', tasks=(('audio', 'video'),), ties='release'
  )
  assert result.rows[-1]['R@1'] == 1


@pytest.fixture(scope='module')
def model():
  return AVLnet(embed_dim=6, widths=(4, 4), blocks=(1,))


def _batches(sizes, bad=None):
  rng = np.random.default_rng(0)
  start = 0
  for size in sizes:
    spectrogram = rng.normal(-40, 9, (size, 24, 40)).astype(np.float32)
    if bad is not None:
      spectrogram[0, 0, 0] = bad
    yield {
      'spectrogram': spectrogram,
      'num_frames': rng.integers(5, 24, size, dtype=np.int32),
      'visual': rng.normal(size=(size, 5)).astype(np.float32),
      'id': np.array([f'clip{i}' for i in range(start, start + size)]),
      'subset': np.array(['test'] * size),
    }
    start += size


@pytest.mark.parametrize('count', [1, 8])
def test_every_example_once_whatever_the_batches(model, use_devices, count):
  use_devices(count)
  variables = init_variables(model, 5)
  embed = evaluation.make_embed(model)
  (whole,) = list(_batches([13]))
  parts = [
    {key: value[start : start + 5] for key, value in whole.items()}
    for start in range(0, 13, 5)
  ]
  got = embed(variables, parts)
  expected = model.apply(
    variables,
    {k: whole[k] for k in ('spectrogram', 'num_frames', 'visual')},
    False,
  )
  assert got.ids.tolist() == whole['id'].tolist()
  for name in ('audio', 'video'):
    np.testing.assert_allclose(
      got.embeddings[name], expected[name], rtol=1e-4, atol=1e-5
    )


def test_repeated_ids_and_nan_are_refused(model, use_devices):
  use_devices(1)
  variables, embed = init_variables(model, 5), evaluation.make_embed(model)
  (batch,) = list(_batches([13]))
  with pytest.raises(ValueError, match='comes twice'):
    embed(variables, [batch, batch])
  with pytest.raises(ValueError, match='audio embeddings are not all finite'):
    embed(variables, _batches([13], bad=np.inf))


def test_the_record_can_be_read_back(tmp_path):
  results = evaluation.retrieval(
    _embedded(), 'toy', tasks=(('audio', 'video'),), data='f00d'
  )
  assert results[0].rows[0]['data'] == 'f00d'
  evaluation.write_record(tmp_path / 'evaluation.json', results, {'step': 3})
  record = json.loads((tmp_path / 'evaluation.json').read_text())
  assert record['facts'] == {'step': 3}
  assert record['rows'] == [dict(row) for row in results[0].rows]


def test_fingerprint_of_a_model():
  tree = {'params': {'a': np.arange(3.0), 'b': np.zeros(2)}}
  first = evaluation.fingerprint(tree)
  assert evaluation.fingerprint({'params': dict(tree['params'])}) == first
  tree['params']['a'][1] = np.nextafter(1, 2)
  assert evaluation.fingerprint(tree) != first
