"""Tasks and results in their written forms."""

import dataclasses
import json
import math

import pytest

from avl_jax.retrieval.result import MetricName, Result, RunResult
from avl_jax.retrieval.task import Task

TASK = Task('audio_text', 'audio+video')
ROW = {  # the keys, and their order, of evaluation.json
  'evaluation': 'human',
  'data': 'f00d',
  'task': 'audio_text -> audio+video',
  'subset': 'test',
  'queries': 1000,
  'gallery': 968,
  'R@1': 0.25,
  'R@5': 0.5,
  'R@10': 0.75,
  'median_rank': 3.5,
  'mean_rank': 7.25,
  'chance_R@10': 10 / 968,
}


def test_forms_of_a_task():
  assert TASK.title == 'audio_text -> audio+video'
  assert TASK.label == 'audio_text → audio+video'
  assert TASK.key == 'audio_text_to_audio+video'
  assert Task.from_title(TASK.title) == Task.from_key(TASK.key) == TASK


@pytest.mark.parametrize('text', ['', 'audio', 'audio -> ', 'audio_to_video'])
def test_invalid_titles(text):
  with pytest.raises(ValueError, match='is not a retrieval task'):
    Task.from_title(text)


def test_a_result_is_read_as_it_is_written():
  result = Result.from_json(ROW)
  assert (result.task, result.recall_at_10) == (TASK, 0.75)
  assert json.dumps(result.to_json()) == json.dumps(ROW)
  names = ('R@1', 'R@5', 'R@10', 'median_rank', 'mean_rank', 'chance_R@10')
  assert [result.metric(name) for name in names] == [ROW[n] for n in names]
  with pytest.raises(dataclasses.FrozenInstanceError):
    result.queries = 3


def test_results_of_older_files():
  older = {
    key: value
    for key, value in ROW.items()
    if key not in ('data', 'mean_rank', 'chance_R@10')
  }
  result = Result.from_json(older)
  assert result.data == ''
  assert math.isnan(result.mean_rank)
  assert math.isnan(result.chance_recall_at_10)
  with pytest.raises(ValueError, match='lacks the keys task, R@10'):
    Result.from_json({k: older[k] for k in older if k not in ('task', 'R@10')})


def test_a_result_of_a_run_is_a_result():
  more = {'run': 'late', 'seeds': 3, 'low': 0.5, 'high': 0.875}
  result = RunResult.from_json(ROW | more)
  assert json.dumps(result.to_json()) == json.dumps(ROW | more)


def test_metric_names():
  name = MetricName('human', 'test', TASK, 'R@10')
  assert str(name) == 'human/test/audio_text_to_audio+video/R@10'
  assert MetricName.parse(str(name)) == name
  for other in ('loss', 'seconds/total', 'a/b/c/d', 'a/b/audio_to_video/c/d'):
    assert MetricName.parse(other) is None
