"""Two processes equal one process with as many devices as both have."""

from signal import SIGKILL, SIGTERM

import pytest

from avl_jax import multihost
from tests.faults.conftest import (
  assert_close_end,
  assert_same_end,
  rows,
  steps,
)
from tests.helpers.faulty_runs import Fault

STEP = 'avl_jax.parallel.pmap_step()'
GRACE = 30  # seconds beyond the heartbeat, on a busy machine
# Slow: the devices of a process wait for each other and for the other process.
# Where two processes with two devices each share two busy cores, the first
# collective has not ended for minutes.
pytestmark = pytest.mark.slow


@pytest.fixture(scope='session')
def one(begin, tmp_path_factory):
  """Workdir of one process with four devices, and its `Child`."""
  workdir = tmp_path_factory.mktemp('one') / 'run'
  child = begin(workdir, devices=4).wait()
  assert child.exit_code == 0, child.stderr
  return workdir, child


def _end(children):
  for child in children:
    assert child.wait().exit_code == 0, child.stderr


@pytest.mark.parametrize('devices', [1, 2])
def test_two_processes_equal_one(devices, pair, begin, tmp_path):
  """Scores too; and one process resumes from the checkpoints of two."""
  alone = begin(tmp_path / 'one', devices=2 * devices).wait()
  assert alone.exit_code == 0, alone.stderr
  children = pair(tmp_path / 'two', devices=devices)
  _end(children)
  assert_close_end(tmp_path / 'two', tmp_path / 'one')
  for step, ids in alone.events('ids').items():
    shares = [child.events('ids')[step].split('\t') for child in children]
    assert [len(share) for share in shares] == [4, 4]
    assert shares[0] + shares[1] == ids.split('\t')
  one, two = (
    [row.keys() for row in rows(tmp_path / name)] for name in ('one', 'two')
  )
  assert one == two
  again = begin(tmp_path / 'two', devices=2 * devices).wait()
  assert again.exit_code == 0, again.stderr
  assert again.first == 8


def test_killed_and_started_again(pair, tmp_path):
  _end(pair(tmp_path / 'whole'))
  kill = Fault('kill', STEP, call=6)
  for child in pair(tmp_path / 'run', faults=((), [kill])):
    assert child.wait(multihost.HEARTBEAT + GRACE).exit_code != 0
  children = pair(tmp_path / 'run')
  _end(children)
  assert children[0].first == children[1].first
  assert children[0].first in (2, 4)
  assert_same_end(tmp_path / 'run', tmp_path / 'whole')


@pytest.mark.parametrize('index', [0, 1], ids=['coordinator', 'worker'])
def test_if_one_is_killed_the_other_ends(index, pair, one, tmp_path):
  faults = [(), ()]
  faults[index] = [Fault('sleep', STEP, call=5, value=100)]
  children = pair(tmp_path, faults=faults)
  children[index].until('@fault')
  children[index].send(SIGKILL)
  other = children[1 - index].wait(multihost.HEARTBEAT + GRACE)
  assert other.exit_code not in (0, -9)
  assert other.stderr.strip()
  assert children[index].wait().exit_code == -9
  _end(pair(tmp_path))
  assert_close_end(tmp_path, one[0])


@pytest.mark.parametrize('index', [0, 1])
def test_a_signal_to_one_stops_both_at_the_same_step(
  index, pair, one, tmp_path
):
  faults = [(), ()]
  faults[index] = [Fault('signal', STEP, call=5, value=[SIGTERM])]
  children = pair(tmp_path, faults=faults)
  for child in children:
    assert child.wait().exit_code == 143, child.stderr
    assert [*child.events('step')] == [1, 2, 3, 4, 5]
  assert steps(tmp_path)[-1] == 5
  _end(pair(tmp_path))
  assert_close_end(tmp_path, one[0])


def test_a_worker_that_hangs_ends_the_run(pair, tmp_path):
  faults = ((), [Fault('sleep', STEP, call=5, value=300)])
  children = pair(tmp_path, '--config.train.step_timeout=25', faults=faults)
  for child in children:
    assert child.wait(120).exit_code not in (0, -9)
  assert any('most recent call first' in child.stderr for child in children)
  assert 'in _step' in ''.join(child.stderr for child in children)
  _end(pair(tmp_path))


def test_a_step_that_is_not_finite_on_one_host(pair, tmp_path):
  poison = Fault(
    'poison',
    'input_pipeline.batches.train.TrainBatches.from_step[]',
    call=4,
    after=True,
    value=('spectrogram', 3, 'nan'),
  )
  children = pair(tmp_path, faults=((), [poison]))
  _end(children)
  (skipped,) = (row['skipped'] for row in rows(tmp_path) if 'skipped' in row)
  shares = [child.events('ids')[4].split('\t') for child in children]
  assert skipped.split('\n') == shares[0] + shares[1]
