"""Checkpoints in folders whose names Orbax and others could misread."""

import os

import jax
import numpy as np
import pytest

from avl_jax.checkpoints import checkpointer, loading, metadata
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.train.optimizer import make_optimizer
from avl_jax.train.step import create_state

SMALL = {'embed_dim': 6, 'widths': (4, 4), 'blocks': (1,)}
NAMES = (
  *('2026-01-01T10:20:30', 'runs/10:20', 'gs:/bucket', 'file:x', 'x:/y:'),
  *('lr=[1,2]', '[a-b]*', 'what?', 'back\\slash', '{x}', '%41 50%', 'a#b'),
  *('été 中文', ' a b/', "it's", '$HOME', '-dash', os.fsdecode(b'\xe9t\xe9')),
)


@pytest.fixture(scope='module')
def state():
  variables = init_variables(AVLnet(**SMALL), 5)
  return create_state(variables, make_optimizer(learning_rate=1e-3))


@pytest.mark.parametrize('name', [*NAMES, 'linked'])
def test_saved_and_loaded(name, state, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  os.makedirs('a:b [1]')
  os.symlink('a:b [1]', 'linked')
  description = metadata.describe(SMALL, 5, 'data')
  with checkpointer.Checkpoints(name, description) as checkpoints:
    checkpoints.save(state, {})
  with checkpointer.Checkpoints(name, description) as checkpoints:
    restored = checkpoints.restore(state)
  jax.tree.map(np.testing.assert_array_equal, restored, state)
  assert any(np.any(x) for x in jax.tree.leaves(restored.variables))
  _, variables, _ = loading.load(name)
  jax.tree.map(np.testing.assert_array_equal, variables, state.variables)
  assert [p.name for p in (tmp_path / name / 'checkpoints').iterdir()] == ['0']
