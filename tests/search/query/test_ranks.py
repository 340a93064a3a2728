"""Ranks through an index are those of evaluations of the same clips."""

import csv
import shutil

import numpy as np
import pytest

import input_pipeline
from avl_jax import trained_model
from avl_jax.config import read_config
from avl_jax.retrieval import evaluation, metrics
from avl_jax.search.store.index import Index
from avl_jax.search.update import file_features
from tests.helpers import media, own_folder

SECONDS = (26, 40, 17, 5, 20)  # All their windows are in evaluations.


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
  """A folder of videos that are all held out, two of them with equal streams.

  Pictures of the same second are equal in all videos, so there are many ties.
  """
  folder = tmp_path_factory.mktemp('clips')
  rows = []
  for number, seconds in enumerate(SECONDS):
    name = f'{number}.mp4'
    media.write(
      folder / name, own_folder.tone(number, seconds), seconds=seconds
    )
    rows.append({'id': name, 'path': name, 'split': 'test'})
  copy = (folder / '1.mp4').read_bytes()
  (folder / 'copy.mp4').write_bytes(copy + b'\0\0\0\x08free')
  rows.append({'id': 'copy.mp4', 'path': 'copy.mp4', 'split': 'test'})
  with (folder / 'manifest.csv').open('w', newline='') as file:
    writer = csv.DictWriter(file, ['id', 'path', 'split'])
    writer.writeheader()
    writer.writerows(rows)
  return folder


@pytest.fixture(scope='module')
def evaluated(clips, run, networks, tmp_path_factory):
  """The retrievals of an evaluation, audio to video and back."""
  data_dir = str(tmp_path_factory.mktemp('records'))
  name = 'own_videos/untrimmed'
  input_pipeline.prepare(
    datasets=(name,), data_dir=data_dir, media_dir=f'{clips}/manifest.csv'
  )
  config = read_config(f'{run}/config.json')
  evaluations = input_pipeline.eval_batches(
    **{
      **config.eval_data,
      'evaluations': {
        'test': {'datasets': (name,), 'splits': ('test',), 'num_queries': 0}
      },
    },
    words=config.words,
    data_dir=data_dir,
  )
  trained = trained_model.load(run)
  evaluate = evaluation.make_evaluate(
    trained.model, evaluations, tasks=(('audio', 'video'), ('video', 'audio'))
  )
  return evaluate(trained.variables)


def _ranks(folder, query, gallery, ids):
  """Ranks of an index' own vectors, by the ids of their clips."""
  with Index.open(folder) as index:
    rows = index.rows_with('video')
    window = {row: index.window(row) for row in rows.tolist()}
    row_of = {f'{w.path}@{w.start:g}': row for row, w in window.items()}
    assert row_of.keys() == {*ids}
    wanted = [row_of[name] for name in ids]
    queries = index.vectors(query, wanted)
    scores, found = index.search(gallery, queries, index.count)
  better, equal = [], []
  for own, line, places in zip(wanted, scores, found, strict=True):
    score = line[places == own]
    better.append((line > score).sum())
    equal.append((line == score).sum())
  return np.array(better), np.array(equal)


@pytest.fixture(scope='module')
def indexes(make_index, clips, tmp_path_factory):
  folders = {}
  for dtype in ('float32', 'float16'):
    folders[dtype] = tmp_path_factory.mktemp('ranks') / dtype
    if dtype == 'float16':  # With the same features.
      kept = folders['float32'] / file_features.FOLDER
      shutil.copytree(kept, folders[dtype] / file_features.FOLDER)
    make_index(
      clips,
      folders[dtype],
      '--config.search.step=10.0',
      f'--config.search.dtype={dtype}',
    )
  return folders


@pytest.mark.parametrize('task', [0, 1])
def test_in_float32_they_are_equal_ties_included(task, evaluated, indexes):
  retrieval = evaluated[task]
  query, gallery = retrieval.task.query, retrieval.task.gallery
  better, equal = _ranks(
    indexes['float32'], str(query), str(gallery), retrieval.ids
  )
  np.testing.assert_array_equal(metrics.ranks(better, equal), retrieval.ranks)
  assert (equal > 1).any()
  assert len(better) == 16
  assert len({*retrieval.ranks.tolist()}) > 5


def test_in_half_precision_few_move(evaluated, indexes):
  (retrieval, _), folder = evaluated, indexes['float16']
  found = metrics.ranks(*_ranks(folder, 'audio', 'video', retrieval.ids))
  moved = (found != retrieval.ranks).sum()
  print(f'{moved} of {len(found)} ranks move in half precision.')
  recalls = [(ranks < 10).mean() for ranks in (found, retrieval.ranks)]
  assert abs(recalls[0] - recalls[1]) <= 1 / len(found)
  assert moved <= len(found) / 4
