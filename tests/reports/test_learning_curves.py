"""Learning curves from a comparison's rows."""

import io

import pytest
from PIL import Image

from avl_jax.errors import ConfigError
from avl_jax.reports import learning_curves, page


def _rows():
  scores = {
    ('both-0', 'audio_text -> video'): (0.1, 0.05),
    ('both-25', 'audio_text -> video'): (0.625, 0.5),
    ('sound-0', 'audio -> video'): (0.2, 0.1),
    ('sound-5', 'audio -> video'): (0.375, 0.25),
  }
  return [
    {
      'evaluation': evaluation,
      'run': run,
      'task': task,
      'subset': 'test',
      'gallery': 198,
      'chance_R@10': 0.05,
      'R@10': recalls[i],
    }
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


def test_a_run_that_is_not_there_is_named():
  with pytest.raises(ConfigError, match=r"'both-9', which was asked \[\]"):
    list(learning_curves.blocks(_rows(), (('both-9', 'both', 9),), 'captions'))
  more = [*_rows(), _rows()[0] | {'task': 'text -> video'}]
  with pytest.raises(ConfigError, match="'audio_text -> video', 'text -> vid"):
    list(learning_curves.blocks(more, CURVE, 'captions'))
