"""Resuming on other devices, after the end, with other settings or caches."""

from signal import SIGTERM

import jax
import numpy as np
import pytest

from tests.faults.conftest import (
  NUM_STEPS,
  arrays,
  assert_close_end,
  assert_one_message,
  assert_same_end,
  rows,
  some_fast,
)
from tests.helpers.faulty_runs import Fault

STEP = 'avl_jax.parallel.pmap_step()'


def _ids(child):
  return child.events('ids')


@pytest.mark.slow
@pytest.mark.parametrize('devices', [1, 4])
def test_resumed_on_other_devices(devices, begin, whole, tmp_path):
  """Equal up to rounding, with the same examples in the same order."""
  workdir = tmp_path / 'run'
  killed = begin(workdir, faults=[Fault('kill', STEP, call=6)]).wait()
  assert killed.exit_code == -9
  again = begin(workdir, devices=devices).wait()
  assert again.exit_code == 0, again.stderr
  assert again.first in (2, 4)
  unbroken, child = whole
  expected = {k: v for k, v in _ids(child).items() if k > again.first}
  assert _ids(again) == expected
  assert_close_end(workdir, unbroken)


@pytest.mark.slow
def test_resumed_at_the_end_of_an_epoch(begin, tmp_path):
  """With 33 examples: four batches of eight, then another order."""
  settings = (
    '--config.train_data.split=train[:33]',
    '--config.train_data.distinct_groups=False',
  )
  whole = begin(tmp_path / 'whole', *settings).wait()
  assert whole.exit_code == 0, whole.stderr
  epochs = [
    [name for step in steps for name in _ids(whole)[step].split('\t')]
    for steps in (range(1, 5), range(5, 9))
  ]
  assert [len(set(epoch)) for epoch in epochs] == [32, 32]
  assert epochs[0] != epochs[1]
  assert len({*epochs[0], *epochs[1]}) <= 33
  stop = Fault('signal', STEP, call=4, value=[SIGTERM])
  stopped = begin(tmp_path / 'run', *settings, faults=[stop]).wait()
  assert stopped.exit_code == 143
  again = begin(tmp_path / 'run', *settings).wait()
  assert again.first == 4
  assert_same_end(tmp_path / 'run', tmp_path / 'whole')


def test_after_its_end(begin, unbroken):
  before, written = rows(unbroken), _times(unbroken)
  child = begin(unbroken).wait()
  assert child.exit_code == 0, child.stderr
  assert (
    f'Training is complete ({NUM_STEPS} of {NUM_STEPS} steps)' in child.stdout
  )
  assert not child.events('step')
  assert rows(unbroken) == before
  assert _times(unbroken) == written


def _times(workdir):
  files = (workdir / 'checkpoints').rglob('*')
  return {str(path): path.stat().st_mtime_ns for path in files}


DAMAGE = {
  'flipped': lambda x: (
    x[: len(x) // 2] + bytes([x[len(x) // 2] ^ 8]) + x[len(x) // 2 + 1 :]
  ),
  'cut': lambda x: x[: len(x) // 2],
  'zeroed': lambda x: bytes(len(x)),
  'emptied': lambda x: b'',
}


@pytest.mark.slow
@pytest.mark.parametrize('damage', DAMAGE)
def test_kept_compilations_that_are_damaged(damage, begin, unbroken, tmp_path):
  """Damaged entries are compiled again, or harmless; the result is the same."""
  cache = f'--config.compilation_cache={tmp_path}/cache'
  assert begin(tmp_path / 'first', cache).wait().exit_code == 0
  entries = [p for p in (tmp_path / 'cache').iterdir() if p.is_file()]
  kept = [path for path in entries if path.stat().st_size > 1000]
  assert kept
  for path in kept:
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
  child = begin(tmp_path / 'run', cache).wait()
  assert child.exit_code == 0, child.stderr
  assert_same_end(tmp_path / 'run', unbroken)


OTHER = {
  'model': (
    '--config.model.embed_dim=32',
    'embed_dim: 16 in the checkpoint, 32 in this run',
  ),
  'data': ('--config.train_data.split=train[:50%]', "data: '"),
  'seed': ('--config.seed=2', 'seed: 1 in the checkpoint, 2 in this run'),
  'batch size': (
    '--config.train_data.batch_size=4',
    'batch_size: 8 in the checkpoint, 4 in this run',
  ),
}


@pytest.mark.parametrize('what', some_fast(OTHER, 'seed'))
def test_another(what, begin, unbroken):
  setting, message = OTHER[what]
  before = _times(unbroken)
  child = begin(unbroken, setting).wait()
  assert_one_message(child)
  assert message in child.stderr
  assert _times(unbroken) == before
  leaves = jax.tree.leaves(arrays(unbroken))
  assert all(np.isfinite(leaf).all() for leaf in leaves)


@pytest.mark.slow
def test_two_runs_in_one_workdir(begin, unbroken, tmp_path):
  """The second is refused while the first lives, and resumes afterwards."""
  workdir = tmp_path / 'run'
  first = begin(workdir, faults=[Fault('sleep', STEP, call=6, value=90)])
  first.until('@fault')
  second = begin(workdir).wait()
  assert_one_message(second)
  assert f'process {first.pid} on ' in second.stderr
  first.send(9)
  assert first.wait().exit_code == -9
  third = begin(workdir).wait()
  assert third.exit_code == 0, third.stderr
  assert f'process {first.pid} on ' in third.stdout
  assert_same_end(workdir, unbroken)
