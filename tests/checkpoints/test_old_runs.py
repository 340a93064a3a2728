"""Runs of three earlier commits: they load, are evaluated and resume.

tests/old_runs/COMMIT.tar.xz is the workdir of a run of two steps by the code of
that commit, with configs/stamps.py, a model as small as `OVERRIDES` say, and
the batches of tests/modes/test_train.py; without report, events and the
checkpoint of step 0. e506f61 has the first layout of checkpoints. 113ba77 knows
no image encoder. b65f022 does.
"""

import json
import pathlib
import tarfile

import numpy as np
import pytest

import main
from avl_jax.checkpoints import early_layout, loading
from avl_jax.checkpoints.metadata import CheckpointError
from avl_jax.modes import evaluate, train
from avl_jax.train.metrics_log import read_history
from tests.helpers.made_up_pipeline import MadeUpEvaluation, Pipeline

FOLDER = pathlib.Path(__file__).parents[1] / 'old_runs'
COMMITS = ('e506f61', '113ba77', 'b65f022')
# Losses of steps 3 and 4 by the code of each of the three commits.
RESUMED = [4.180212020874023, 4.193087100982666]
OVERRIDES = {
  'embed_dim': 8,
  'widths': (4, 4),
  'blocks': (1,),
  'pooling': 'masked',
  'dtype': 'float32',
}


class _Evaluation(MadeUpEvaluation):
  has_media = False  # Sheets of examples take time.


class _Pipeline(Pipeline):
  """The made-up one, with an evaluation that configs/stamps.py names."""

  def eval_batches(self, **options):
    del options
    return {'human_fr': _Evaluation()}


@pytest.fixture(params=COMMITS)
def old(request, tmp_path):
  """The workdir of an old run."""
  with tarfile.open(FOLDER / f'{request.param}.tar.xz') as archive:
    archive.extractall(tmp_path, filter='data')
  return tmp_path


def _config(workdir, *overrides):
  return main.read_arguments(
    ['main.py', f'--workdir={workdir}', '--config.num_steps=4', *overrides]
  )[1]


def test_loads_and_scores_as_it_did(old):
  expected = json.loads((old / 'evaluation.json').read_text())['rows']
  model, variables, facts = loading.load(old)
  for key, value in OVERRIDES.items():
    assert getattr(model, key) == value
  assert facts['step'] == 2
  assert facts['data'] == 'made up'
  # Of (4, 4) channels: the first convolution of the audio has 9 x 40 x 4.
  leaves = {x.size for x in _leaves(variables)}
  assert 9 * 4 * 4 in leaves
  evaluate.evaluate(_config(old), old, _Pipeline())
  found = json.loads((old / 'evaluation.json').read_text())['rows']
  for row, old_row in zip(found, expected, strict=True):
    assert {key: row[key] for key in old_row} == old_row


def _leaves(tree):
  for value in tree.values():
    yield from _leaves(value) if isinstance(value, dict) else (value,)


def test_resumes_as_it_would_have(old, capsys):
  train.run(_config(old), old, _Pipeline(), 0.0)
  rows = read_history(old / 'metrics.jsonl')
  losses = {row['step']: row['loss'] for row in rows if 'loss' in row}
  assert list(losses) == [1, 2, 3, 4]
  np.testing.assert_allclose([losses[3], losses[4]], RESUMED, rtol=1e-5)
  (line,) = (
    line for line in capsys.readouterr().out.splitlines() if 'Taken' in line
  )
  assert 'num_steps: 2 in the run so far, 4 in this start' in line
  assert loading.load(old)[2]['model']['frozen_image'] is True
  assert (old / 'checkpoints' / '4' / 'description.json').is_file()


@pytest.mark.parametrize(
  ('override', 'message'),
  [
    ('model.frozen_image=False', 'frozen_image: True in the'),
    ('model.word_dim=3', 'word_dim: 0 in the checkpoint, 3 in this run'),
    ('seed=2', 'seed: 1 in the checkpoint, 2 in this run'),
    ('train_data.batch_size=16', 'batch_size: 8 in the checkpoint, 16 in'),
  ],
)
def test_what_differs_is_refused(old, override, message):
  with pytest.raises(CheckpointError, match=message):
    train.run(_config(old, f'--config.{override}'), old, _Pipeline(), 0.0)
  assert [p.name for p in (old / 'checkpoints').iterdir()] == ['2']


def test_the_first_layout_without_a_config(tmp_path):
  with tarfile.open(FOLDER / 'e506f61.tar.xz') as archive:
    archive.extractall(tmp_path, filter='data')
  path = tmp_path / 'checkpoints' / '2'
  assert early_layout.is_early(path)
  facts = early_layout.read_metadata(path)
  assert (facts['seed'], facts['batch_size']) == (1, 8)
  assert facts['run']['metrics']['human_fr/test/audio_to_video/R@5'] == 0.625
  (tmp_path / 'config.json').write_text('[1')
  assert 'seed' not in early_layout.read_metadata(path)
  (tmp_path / 'config.json').unlink()
  assert loading.load(tmp_path)[2]['step'] == 2
  assert 'seed' not in early_layout.read_metadata(path)
