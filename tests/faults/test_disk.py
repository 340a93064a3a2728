"""Full or unwritable disks: one error message, and no harm."""

import shutil

import pytest

from avl_jax.checkpoints import manifest
from tests.faults.conftest import assert_one_message, assert_same_end, some_fast
from tests.helpers.faulty_runs import Fault

LOG = 'avl_jax.train.metrics_log.History._write'
FULL = {
  'at the start': Fault('fill', 'avl_jax.files.Lock.__init__', value=0),
  'at the first save': Fault(
    'fill', 'avl_jax.checkpoints.checkpointer.Checkpoints.save', value=40_000
  ),
  'at a save': Fault(
    'fill',
    'avl_jax.checkpoints.checkpointer.Checkpoints.save',
    call=3,
    value=40_000,
  ),
  'at the final save': Fault(
    'fill',
    'avl_jax.checkpoints.checkpointer.Checkpoints.save',
    call=5,
    value=40_000,
  ),
  'at the description': Fault(
    'fill',
    'avl_jax.checkpoints.manifest.write',
    matching='checkpoints/4.tmp',
    value=0,
  ),
  'at a log': Fault('fill', LOG, call=4),
  'at the first log': Fault('fill', LOG, value=100),
  'at the configuration': Fault(
    'fill', 'avl_jax.modes.train.write_config', value=100
  ),
}


@pytest.mark.parametrize('moment', some_fast(FULL))
def test_full(moment, begin, unbroken, tmp_path):
  workdir = tmp_path / 'run'
  child = begin(workdir, faults=[FULL[moment]]).wait()
  assert child.events('fault')
  assert_one_message(child)
  assert str(workdir) in child.stderr
  for step in child.events('written'):
    path = workdir / 'checkpoints' / str(step)
    assert not path.exists() or not manifest.find_damage(path)
  again = begin(workdir).wait()
  assert again.exit_code == 0, again.stderr
  assert again.first == max(child.events('written'), default=0)
  assert_same_end(workdir, unbroken)


@pytest.mark.slow
def test_a_workdir_below_a_file(begin, tmp_path):
  (tmp_path / 'file').write_text('not a folder')
  child = begin(tmp_path / 'file' / 'run').wait()
  assert_one_message(child)
  assert 'lock cannot be written: Not a directory' in child.stderr


def _flip(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 4
  path.write_bytes(content)


def _cut(path):
  path.write_bytes(path.read_bytes()[:-1])


def _zero(path):
  path.write_bytes(bytes(path.stat().st_size))


DAMAGE = {
  'variables': _flip,
  'training': _cut,
  'description.json': _zero,
  'MANIFEST.sha256': lambda path: path.unlink(),
}


def _damage(workdir, step, name='variables'):
  """Damages the largest file of that name or in that folder."""
  path = workdir / 'checkpoints' / str(step) / name
  if path.is_dir():
    files = [file for file in path.rglob('*') if file.is_file()]
    path = max(files, key=lambda file: file.stat().st_size)
  DAMAGE[name](path)


@pytest.mark.slow
@pytest.mark.parametrize('name', DAMAGE)
def test_damaged_last_checkpoint(name, begin, unbroken, tmp_path):
  workdir = shutil.copytree(unbroken, tmp_path / 'run')
  _damage(workdir, 8, name)
  child = begin(workdir).wait()
  assert child.exit_code == 0, child.stderr
  assert 'It was set aside as 8.damaged' in child.stdout
  assert child.first == 6
  assert (workdir / 'checkpoints' / '8.damaged').is_dir()
  assert_same_end(workdir, unbroken)


@pytest.mark.slow
def test_all_checkpoints_damaged(begin, unbroken, tmp_path):
  workdir = shutil.copytree(unbroken, tmp_path / 'run')
  kept = sorted(p.name for p in (workdir / 'checkpoints').iterdir())
  assert len(kept) > 1
  for name in kept:
    _damage(workdir, name)
  files = len([*(workdir / 'checkpoints').rglob('*')])
  for _ in range(2):  # It does not start over the second time either.
    child = begin(workdir).wait()
    assert_one_message(child)
    assert 'No good checkpoint is left' in child.stderr
  names = sorted(p.name for p in (workdir / 'checkpoints').iterdir())
  assert names == [f'{name}.damaged' for name in kept]
  assert len([*(workdir / 'checkpoints').rglob('*')]) == files
