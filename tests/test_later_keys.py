"""Old configs and checkpoints, and a config.json that is not whole."""

import json
import pathlib

import jax
import numpy as np
import pytest

import main
from avl_jax import later_keys
from avl_jax.checkpoints import checkpointer, loading, manifest, metadata
from avl_jax.checkpoints.metadata import CheckpointError
from avl_jax.config import DEFAULT, ROOT, read_config
from avl_jax.errors import ConfigError
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.modes import evaluate
from avl_jax.train.optimizer import make_optimizer
from avl_jax.train.step import create_state

# config.json of configs/stamps.py as earlier commits wrote it.
OLD = sorted((pathlib.Path(__file__).parent / 'old_configs').glob('*.json'))
SMALL = {'embed_dim': 6, 'widths': (4, 4), 'blocks': (1,)}


def _flat(tree, outer=''):
  flat = {}
  for key, value in tree.items():
    if isinstance(value, dict) and value:
      flat |= _flat(value, f'{outer}{key}.')
    else:
      flat[f'{outer}{key}'] = value
  return flat


def _default():
  return read_config(str(ROOT / DEFAULT)).to_dict()


def test_every_later_key_is_a_key():
  assert len(OLD) == 3
  keys = _flat(_default())
  assert set(later_keys.LATER) <= set(keys)
  for key, value in later_keys.LATER.items():
    assert type(value) is type(keys[key]), key


@pytest.mark.parametrize('path', OLD, ids=lambda path: path.stem)
def test_an_old_config_does_what_it_did(path, tmp_path):
  old = json.loads(path.read_text())
  (tmp_path / 'config.json').write_text(path.read_text())
  _, config, _ = main.read_arguments(['main.py', f'--workdir={tmp_path}'])
  found, given = _flat(config.to_dict()), _flat(old)
  assert {key.split('.')[0] for key in found} == set(_default())
  for key, value in found.items():
    if key in given:
      assert json.loads(json.dumps(value)) == given[key], key
    else:
      assert value == later_keys.LATER[key], key
  assert found['train.step_timeout'] == given.get('train.step_timeout', 0)


@pytest.mark.parametrize('path', OLD, ids=lambda path: path.stem)
def test_an_old_checkpoint_loads_and_resumes(path, tmp_path):
  """With the metadata of a model as the earlier commit described it."""
  old = json.loads(path.read_text())['model'] | SMALL
  description = metadata.describe(old, 5, 'data', seed=1, batch_size=8)
  for key in ('examples', 'initial', 'networks'):
    del description[key]
  state = create_state(
    init_variables(AVLnet(**SMALL), 5), make_optimizer(learning_rate=1e-3)
  )
  with checkpointer.Checkpoints(tmp_path, description) as checkpoints:
    checkpoints._description = description
    checkpoints.save(state, {})
  folder = tmp_path / 'checkpoints' / '0'
  written = json.loads((folder / metadata.NAME).read_text())
  written.pop('initial', None)
  (folder / metadata.NAME).write_text(json.dumps(written))
  (folder / manifest.NAME).unlink()
  manifest.write(folder)
  _, variables, facts = loading.load(tmp_path)
  jax.tree.map(np.testing.assert_array_equal, variables, state.variables)
  assert facts['model'] == written['model']
  assert evaluate._which(facts) == 'Scores of step 0, the last. ' + (
    'That is the model before the first step, untrained.'
  )
  (tmp_path / 'config.json').write_text(path.read_text())
  _, config, _ = main.read_arguments(['main.py', f'--workdir={tmp_path}'])
  config.model.update(SMALL)
  today = metadata.describe(config.model, 5, 'data', seed=1, batch_size=8)
  with checkpointer.Checkpoints(tmp_path, today) as checkpoints:
    assert not checkpoints.is_empty
  changed = today | {'model': today['model'] | {'frozen_image': False}}
  with pytest.raises(CheckpointError, match='frozen_image: True in the'):
    checkpointer.Checkpoints(tmp_path, changed)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda tree: tree.pop('seed'), 'lacks the key seed'),
    (lambda tree: tree.pop('model'), 'lacks the key model. Expected'),
    (lambda tree: tree['loss'].pop('margin'), r'lacks the key loss\.margin'),
    (
      lambda tree: tree['model'].update(embed_dmi=3),
      r'unknown key model\.embed_dmi\. Did you mean model\.embed_dim\?',
    ),
    (lambda tree: tree.update(colour='red'), 'unknown key colour'),
    (lambda tree: tree.update(model=3), 'model is 3. Expected the keys'),
    (lambda tree: tree.update(train=[1]), r'train is \[1\]'),
  ],
)
def test_a_config_that_is_not_whole_is_told_in_one_line(
  change, message, tmp_path
):
  tree = json.loads(read_config(str(ROOT / 'configs/stamps.py')).to_json())
  change(tree)
  path = tmp_path / 'config.json'
  path.write_text(json.dumps(tree))
  with pytest.raises(ConfigError, match=message) as caught:
    read_config(str(path))
  assert '\n' not in str(caught.value)
  assert str(path) in str(caught.value)


@pytest.mark.parametrize('text', ['', '{', '[1, 2]', '3', '"text"', 'null'])
def test_a_config_that_is_no_config(text, tmp_path):
  path = tmp_path / 'config.json'
  path.write_text(text)
  with pytest.raises(ConfigError, match=r'config\.json is not a config') as c:
    read_config(str(path))
  assert '\n' not in str(c.value)
