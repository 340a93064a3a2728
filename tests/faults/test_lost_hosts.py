"""One of two processes is lost: the other ends, and both can be restarted."""

from signal import SIGTERM

import pytest

from avl_jax import multihost
from tests.faults.conftest import (
  NUM_STEPS,
  assert_close_end,
  assert_one_message,
  assert_same_end,
  steps,
)
from tests.helpers.faulty_runs import Fault

STEP = 'avl_jax.parallel.pmap_step()'
FORWARD = 'avl_jax.parallel.pmap_forward()'
FIRST, SECOND = 0, 1
SECONDS = multihost.HEARTBEAT + 30  # until the other has ended
# Our message, if a collective failed; or that of JAX's heartbeat service.
MESSAGES = ('Another process of this run is gone', 'another task died')
pytestmark = pytest.mark.slow


def _complete(children, first):
  """Waits for the end of a run that starts after step `first`."""
  for child in children:
    assert child.wait().exit_code == 0, child.stderr
    assert child.first == first
    assert [*child.events('step')] == [*range(first + 1, NUM_STEPS + 1)]
  assert children[0].events('written')
  assert not any(child.events('written') for child in children[1:])


@pytest.fixture(scope='session')
def unbroken_pair(pair, tmp_path_factory):
  """Workdir of a run of two processes without faults."""
  workdir = tmp_path_factory.mktemp('pair') / 'run'
  _complete(pair(workdir), 0)
  return workdir


def _of(index, *faults):
  """Faults of two processes, of which one has them."""
  return (faults, ()) if index == FIRST else ((), faults)


LOST = {
  'first, in an evaluation': (FIRST, Fault('kill', FORWARD, 3)),
  'second, in an evaluation': (SECOND, Fault('kill', FORWARD, 3)),
  'first, in a write': (
    FIRST,
    Fault(
      'kill', 'avl_jax.checkpoints.manifest.write', matching='checkpoints/4.tmp'
    ),
  ),
  'second, at its start': (
    SECOND,
    Fault('kill', 'input_pipeline.batches.train.TrainBatches.__init__'),
  ),
  'first, by an error': (FIRST, Fault('fail', STEP, 6, value='a fault')),
  'second, by an error': (SECOND, Fault('fail', STEP, 6, value='a fault')),
}


@pytest.mark.parametrize('case', LOST)
def test_lost(case, pair, unbroken_pair, tmp_path):
  index, fault = LOST[case]
  children = pair(tmp_path, faults=_of(index, fault))
  lost, other = children[index], children[1 - index]
  assert lost.wait(120).exit_code == {'kill': -9, 'fail': 1}[fault.do]
  assert (fault.do == 'fail') == ('ArithmeticError: a fault' in lost.stderr)
  assert other.wait(SECONDS).exit_code not in (0, -9)
  assert any(text in other.stderr for text in MESSAGES), other.stderr
  written = max(children[0].events('written'), default=0)
  again = pair(tmp_path)
  assert again[0].wait().first >= written
  _complete(again, again[0].first)
  assert_same_end(tmp_path, unbroken_pair)


@pytest.mark.parametrize(('call', 'first'), [(4, 2), (5, 4)])
def test_both_killed(call, first, pair, unbroken_pair, tmp_path):
  """The last checkpoint has no scores (step 2), or has scores (step 4)."""
  faults = _killed_when_written(call)
  for child in pair(tmp_path, faults=(faults, faults)):
    assert child.wait().exit_code == -9
  _complete(pair(tmp_path), first)
  assert_same_end(tmp_path, unbroken_pair)


def _killed_when_written(call):
  """Kills in a step, once the last checkpoint is on the disk."""
  wait, kill = Fault('sleep', STEP, call, value=3), Fault('kill', STEP, call)
  return kill, wait  # The last is the outer wrapper and acts first.


@pytest.mark.parametrize('second', ['one process', 'two processes'])
def test_either_goes_on_from_the_other(
  second, begin, pair, unbroken_pair, tmp_path
):
  """Resumes after step 4, whose scores are saved."""
  faults = _killed_when_written(5)
  if second == 'one process':
    for child in pair(tmp_path, faults=(faults, faults)):
      assert child.wait().exit_code == -9
    _complete([begin(tmp_path, devices=4)], 4)
  else:
    assert begin(tmp_path, devices=4, faults=faults).wait().exit_code == -9
    _complete(pair(tmp_path), 4)
  assert_close_end(tmp_path, unbroken_pair)


def test_a_signal_to_one_in_an_evaluation(pair, unbroken_pair, tmp_path):
  fault = Fault('signal', FORWARD, 3, value=[SIGTERM])
  for child in pair(tmp_path, faults=_of(SECOND, fault)):
    assert child.wait().exit_code == 143, child.stderr
    assert [*child.events('step')] == [1, 2, 3, 4]
  assert steps(tmp_path)[-1] == 4
  _complete(pair(tmp_path), 4)
  assert_same_end(tmp_path, unbroken_pair)


def test_what_is_refused_to_the_first_ends_both(pair, tmp_path):
  """Only the first process reads the seed of the checkpoints."""
  _complete(pair(tmp_path), 0)
  first, second = pair(tmp_path, '--config.seed=2')
  assert_one_message(first.wait())
  assert 'seed: 1 in the checkpoint, 2 in this run' in first.stderr
  assert second.wait(SECONDS).exit_code not in (0, -9)
