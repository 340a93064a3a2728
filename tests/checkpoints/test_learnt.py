"""Checkpoints of runs whose loss learns, beside those of other runs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax import losses
from avl_jax.checkpoints import checkpointer, loading, metadata
from avl_jax.checkpoints.metadata import CheckpointError
from avl_jax.models.avlnet import AVLnet
from avl_jax.modes import convert
from avl_jax.torch_files import read_state_dict
from avl_jax.train import initialization
from avl_jax.train.optimizer import make_optimizer
from avl_jax.train.step import create_state

MODEL = {
  'embed_dim': 8,
  'widths': (4, 4, 4, 4, 6),
  'structure': 'release',
}
LEARNT = losses.initial_values(name='sigmoid')


def _describe(learnt):
  return metadata.describe(MODEL, 5, 'data', seed=1, learnt=learnt)


def _save(workdir, learnt, seed=1):
  description = _describe(learnt) | {'seed': seed}
  variables = initialization.initialize(
    AVLnet(**MODEL), description, learnt=learnt
  )
  state = create_state(variables, make_optimizer(learning_rate=1e-3))
  with checkpointer.Checkpoints(workdir, description) as checkpoints:
    checkpoints.save(state, {})
  return state


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """Workdirs by what their loss learns."""
  folder = tmp_path_factory.mktemp('learnt')
  _save(folder / 'none', {})
  _save(
    folder / 'sigmoid',
    {'log_scale': jnp.float32(0.5), 'bias': jnp.float32(-3)},
    seed=2,
  )
  return folder


def test_what_a_loss_learnt_is_loaded(runs):
  _, variables, facts = loading.load(runs / 'sigmoid')
  assert facts['learnt'] == ['bias', 'log_scale']
  assert variables['params']['loss'] == {'log_scale': 0.5, 'bias': -3.0}
  _, variables, facts = loading.load(runs / 'none')
  assert 'loss' not in variables['params']
  # As before losses learnt.
  text = (runs / 'none/checkpoints/0' / metadata.NAME).read_text()
  assert 'learnt' not in json.loads(text)


@pytest.mark.parametrize(
  ('source', 'learnt', 'expected'),
  [
    ('none', LEARNT, {name: float(x) for name, x in LEARNT.items()}),
    ('sigmoid', LEARNT, {'log_scale': 0.5, 'bias': -3.0}),
    ('sigmoid', {}, None),
  ],
)
def test_a_new_run_begins_with_it_if_it_learns_the_same(
  runs, source, learnt, expected
):
  model = AVLnet(**MODEL)
  pretrained = initialization.load_pretrained(
    model, image_weights='', initial_workdir=runs / source
  )
  found = initialization.initialize(
    model, _describe(learnt), pretrained, learnt
  )
  assert found['params'].pop('loss', None) == expected
  before = dict(pretrained.variables['params'])
  before.pop('loss', None)
  jax.tree.map(np.testing.assert_array_equal, found['params'], before)


@pytest.mark.parametrize(('run', 'learnt'), [('none', LEARNT), ('sigmoid', {})])
def test_a_run_does_not_resume_with_a_loss_that_learns_others(
  runs, run, learnt
):
  description = _describe(learnt) | {'seed': 1 if run == 'none' else 2}
  with pytest.raises(CheckpointError, match=r"another loss.*'log_scale'"):
    checkpointer.Checkpoints(runs / run, description)


def test_an_export_leaves_it_out(runs, tmp_path, capsys):
  for run in ('none', 'sigmoid'):
    convert.export_release(
      file=str(tmp_path / f'{run}.pth'), workdir=runs / run
    )
  states = [read_state_dict(tmp_path / f'{r}.pth') for r in ('none', 'sigmoid')]
  assert states[0].keys() == states[1].keys()
  assert not any('loss' in key for key in states[0])
  assert 'Wrote' in capsys.readouterr().out
