"""Learning curves from a comparison's rows."""

import dataclasses
import io

import pytest
from PIL import Image

from avl_jax.errors import ConfigError
from avl_jax.reports import learning_curves, page
from avl_jax.retrieval.result import RunResult
from avl_jax.retrieval.task import Task


def _rows():
  scores = {
    ('both-0', 'audio_text -> video'): (0.1, 0.05),
    ('both-25', 'audio_text -> video'): (0.625, 0.5),
    ('sound-0', 'audio -> video'): (0.2, 0.1),
    ('sound-5', 'audio -> video'): (0.375, 0.25),
  }
  return [
    RunResult(
      evaluation=evaluation,
      run=run,
      task=Task.from_title(task),
      subset='test',
      queries=198,
      gallery=198,
      recall_at_1=0,
      recall_at_5=0,
      recall_at_10=recalls[i],
      median_rank=1,
      chance_recall_at_10=0.05,
      seeds=1,
      low=0,
      high=1,
    )
    for i, evaluation in enumerate(('clean', 'noisy'))
    for (run, task), recalls in scores.items()
  ]


CURVE = (
  ('both-0', 'both', 0),
  ('both-25', 'both', 25),
  ('sound-0', 'sound', 0),
  ('sound-5', 'sound', 5),
)


def test_rows_become_a_table_an_evaluation_and_a_figure():
  shown = list(learning_curves.blocks(_rows(), CURVE, 'captions'))
  clean, noisy = (block for block in shown if isinstance(block, page.Table))
  assert clean.header == ('R@10 by captions', '0', '5', '25')
  assert clean.rows == [
    ['both', '10.0 %', '–', '62.5 %'],
    ['sound', '20.0 %', '37.5 %', '–'],
  ]
  assert noisy.rows[1] == ['sound', '10.0 %', '25.0 %', '–']
  (drawn,) = (block for block in shown if isinstance(block, page.Figure))
  other = list(learning_curves.blocks(_rows(), CURVE[:3], 'captions'))[-1]
  assert drawn.picture.content != other.picture.content
  width, height = Image.open(io.BytesIO(drawn.picture.content)).size
  assert min(width, height) > 700
  assert not list(learning_curves.blocks(_rows(), (), 'captions'))


def test_runs_without_exactly_one_task_are_refused():
  with pytest.raises(ConfigError, match=r"'both-9': it was evaluated on \[\]"):
    list(learning_curves.blocks(_rows(), (('both-9', 'both', 9),), 'captions'))
  more = [*_rows(), dataclasses.replace(_rows()[0], task=Task('text', 'video'))]
  with pytest.raises(ConfigError, match="'audio_text -> video', 'text -> vid"):
    list(learning_curves.blocks(more, CURVE, 'captions'))
