"""Checkpoints: damage is found, non-finite states are never saved."""

import json
import shutil
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax.checkpoints import checkpointer, loading, manifest, metadata
from avl_jax.checkpoints.metadata import CheckpointError
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.train.optimizer import make_optimizer
from avl_jax.train.step import TrainState, create_state

SMALL = {'embed_dim': 6, 'widths': (4, 4), 'blocks': (1,)}
DESCRIPTION = metadata.describe(SMALL, 5, 'data', seed=1, batch_size=8)


def _state(step):
  variables = init_variables(AVLnet(**SMALL), 5, seed=step)
  state = create_state(variables, make_optimizer(learning_rate=1e-3))
  return state.replace(step=jnp.int32(step))


def _equal(x, y):
  jax.tree.map(np.testing.assert_array_equal, x, y)


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """A workdir with checkpoints of steps 2 and 3."""
  workdir = tmp_path_factory.mktemp('saved')
  checkpoints = checkpointer.Checkpoints(workdir, DESCRIPTION)
  for step in (1, 2, 3):
    checkpoints.save(_state(step), {'score': 0.5}, {'at': step})
  checkpoints.close()
  return workdir


@pytest.fixture
def workdir(saved, tmp_path):
  """A copy of the workdir, to damage."""
  return shutil.copytree(saved, tmp_path / 'run')


def test_restores_the_saved_state_bit_for_bit(workdir):
  checkpoints = checkpointer.Checkpoints(workdir, DESCRIPTION)
  restored = checkpoints.restore(_state(7))
  checkpoints.close()
  _equal(restored, _state(3))
  assert {x.dtype for x in jax.tree.leaves(restored.variables)} == {
    np.dtype(np.float32)
  }
  assert checkpoints.progress == {'at': 3}
  assert checkpoints.evaluated


def test_saves_the_state_at_the_time_of_the_call(workdir, monkeypatch):
  """A later change of `progress` does not reach the background write."""
  write, given = checkpointer.Checkpoints._write, threading.Event()

  def later(*arguments):
    given.wait(20)
    write(*arguments)

  monkeypatch.setattr(checkpointer.Checkpoints, '_write', later)
  progress = {'metrics': [{'loss': 1.0}]}
  with checkpointer.Checkpoints(workdir, DESCRIPTION) as checkpoints:
    checkpoints.save(_state(4), {}, progress)
    progress['metrics'].append({'loss': 2.0})
    given.set()
  with checkpointer.Checkpoints(workdir, DESCRIPTION) as again:
    assert again.progress == {'metrics': [{'loss': 1.0}]}


def _files(folder):
  return sorted(p for p in folder.rglob('*') if p.is_file())


def _flip(path, rng):
  content = bytearray(path.read_bytes())
  content[rng.integers(len(content))] ^= 1 << rng.integers(8)
  path.write_bytes(content)


def _cut(path, rng):
  content = path.read_bytes()
  path.write_bytes(content[: rng.integers(len(content))])


def _zero(path, rng):
  path.write_bytes(bytes(path.stat().st_size))


def _delete(path, rng):
  path.unlink()


@pytest.mark.parametrize('damage', [_flip, _cut, _zero, _delete])
def test_damage_to_any_file_is_found(workdir, damage):
  """Every file of a checkpoint, the manifest among them."""
  folder = workdir / 'checkpoints' / '3'
  rng = np.random.default_rng(0)
  names = [path.relative_to(folder) for path in _files(folder)]
  kinds = {name.parts[0] for name in names}
  assert kinds == {
    'variables',
    'training',
    'description.json',
    'MANIFEST.sha256',
  }
  for name in names * (4 if damage is _flip else 1):
    path = folder / name
    content = path.read_bytes()
    damage(path, rng)
    found = manifest.find_damage(folder)
    assert found, f'{damage.__name__} of {name}'
    assert str(name) in found or name.name == manifest.NAME
    path.write_bytes(content)
  assert manifest.find_damage(folder) == ''
  (folder / 'variables' / 'more').write_text('x')
  assert 'variables/more' in manifest.find_damage(folder)


def test_a_damaged_checkpoint_is_set_aside_and_the_previous_one_restored(
  workdir, capsys
):
  _flip(_files(workdir / 'checkpoints' / '3')[-1], np.random.default_rng(1))
  checkpoints = checkpointer.Checkpoints(workdir, DESCRIPTION)
  assert 'set aside as 3.damaged' in capsys.readouterr().out
  _equal(checkpoints.restore(_state(7)), _state(2))
  checkpoints.save(_state(3), {}, {})
  checkpoints.close()
  names = {path.name for path in (workdir / 'checkpoints').iterdir()}
  assert names == {'2', '3', '3.damaged'}
  _flip(_files(workdir / 'checkpoints' / '3')[0], np.random.default_rng(1))
  again = checkpointer.Checkpoints(workdir, DESCRIPTION)
  assert 'set aside as 3.damaged2' in capsys.readouterr().out
  assert again.progress == {'at': 2}
  again.close()


def test_without_a_good_checkpoint_training_does_not_restart(workdir):
  for step in ('2', '3'):
    _cut(
      workdir / 'checkpoints' / step / manifest.NAME, np.random.default_rng()
    )
  for _ in range(2):  # The second time only set-aside checkpoints are left.
    with pytest.raises(CheckpointError, match=r'2\.damaged, 3\.damaged'):
      checkpointer.Checkpoints(workdir, DESCRIPTION)


def test_a_damaged_checkpoint_is_not_loaded(workdir):
  path = workdir / 'checkpoints' / '3' / 'variables' / 'manifest.ocdbt'
  _zero(path, None)
  with pytest.raises(
    CheckpointError, match=r'variables/manifest\.ocdbt has changed'
  ):
    loading.load(workdir)


def test_leftovers_of_a_killed_save_are_deleted(workdir):
  folder = workdir / 'checkpoints'
  shutil.copytree(folder / '3', folder / '4.tmp')
  (folder / '4.tmp' / manifest.NAME).unlink()
  (folder / '1.old.tmp').mkdir()
  checkpointer.Checkpoints(workdir, DESCRIPTION).close()
  assert {path.name for path in folder.iterdir()} == {'2', '3'}


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_non_finite_state_is_not_saved(workdir, value):
  state = _state(4)
  moments = state.optimizer_state[0]
  bad = jax.tree.map(lambda x: x, moments.nu)
  bad['video_head']['linear']['bias'] = (
    bad['video_head']['linear']['bias'].at[2].set(value)
  )
  state = state.replace(
    optimizer_state=(
      moments._replace(nu=bad),
      *state.optimizer_state[1:],
    )
  )
  checkpoints = checkpointer.Checkpoints(workdir, DESCRIPTION)
  checkpoints.save(state, {}, {})
  with pytest.raises(CheckpointError, match=r'nu.*video_head.*bias.*step 4'):
    checkpoints.close()
  assert {p.name for p in (workdir / 'checkpoints').iterdir()} == {'2', '3'}


def test_saving_a_step_again_replaces_it(workdir):
  """As after an evaluation that an interruption had postponed."""
  checkpoints = checkpointer.Checkpoints(workdir, DESCRIPTION)
  checkpoints.save(_state(3), {'score': 0.75}, {})
  checkpoints.close()
  text = (workdir / 'checkpoints' / '3' / 'description.json').read_text()
  assert json.loads(text)['run']['metrics'] == {'score': 0.75}
  assert {p.name for p in (workdir / 'checkpoints').iterdir()} == {'2', '3'}


def test_a_failed_write_is_reported_and_harms_nothing(workdir, monkeypatch):
  def full(folder):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(manifest, 'write', full)
  checkpoints = checkpointer.Checkpoints(workdir, DESCRIPTION)
  checkpoints.save(_state(4), {}, {})
  with pytest.raises(CheckpointError, match=r'No space.*\n.*steps: 2, 3'):
    checkpoints.close()
  monkeypatch.undo()
  again = checkpointer.Checkpoints(workdir, DESCRIPTION)
  _equal(again.restore(_state(7)), _state(3))
  again.close()


@pytest.mark.parametrize(
  ('metric', 'values', 'best'),
  [
    ('human/test/audio_to_video/R@10', (0.1, 0.5, 0.5, 0.4), 3),
    ('human/test/audio_to_video/median_rank', (9.0, 2.5, 2.5, 3.0), 3),
    ('human/test/audio_to_video/mean_rank', (9.0, 2.5, 7.0, 3.0), 2),
    ('validation_loss', (9.0, -2.5, 7.0, 3.0), 2),
    ('human/test/audio_to_video/R@10', (np.nan, 0.1, np.nan, np.nan), 2),
    ('human/test/audio_to_video/median_rank', (np.nan, 9, 8, np.nan), 3),
    ('', (0.1, 0.5, 0.2, 0.4), 4),
  ],
)
def test_the_best_step(metric, values, best):
  descriptions = {
    step: {'run': {'metrics': {metric or 'other': value}}}
    for step, value in enumerate(values, 1)
  }
  assert metadata.best_step(descriptions, metric) == best


def test_seconds_lost_since_the_last_save(workdir):
  checkpoints = checkpointer.Checkpoints(workdir, DESCRIPTION)
  text = (workdir / 'checkpoints' / '3' / 'description.json').read_text()
  saved_at = json.loads(text)['run']['saved_at']
  assert checkpoints.seconds_until(saved_at + 12) == pytest.approx(12)
  assert checkpoints.seconds_until(saved_at - 12) == 0
  assert checkpoints.seconds_until(None) == 0
  checkpoints.close()


def test_other_processes_write_nothing(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  checkpoints = checkpointer.Checkpoints(None, DESCRIPTION)
  assert checkpoints.is_empty
  state = TrainState(np.int32(1), {}, {}, np.int32(0))
  checkpoints.save(state, {}, {})
  assert checkpoints.restore(state) is state
  checkpoints.close()
  assert not list(tmp_path.iterdir())
