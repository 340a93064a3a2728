"""Signals: the step is finished and saved, and the run can be resumed."""

import time
from signal import SIGINT, SIGTERM

import pytest

from tests.faults.conftest import assert_same_end, some_fast, steps
from tests.helpers.faulty_runs import Fault

STEP = 'avl_jax.parallel.pmap_step()'
FORWARD = 'avl_jax.parallel.pmap_forward()'
SECONDS = 10  # from the signal to the end
SAVE = 'orbax.checkpoint.Checkpointer.save'


def _check(stopped, begin, workdir, unbroken):
  """Checks that it stopped after its step and saved it, and that it resumes."""
  last = max(stopped.events('step'))
  assert steps(workdir)[-1] == last
  assert 'Run the same command to resume' in stopped.stderr
  assert 'Traceback' not in stopped.stderr
  again = begin(workdir).wait()
  assert again.exit_code == 0, again.stderr
  assert again.first == last
  assert_same_end(workdir, unbroken)


def _stopped(child):
  """Waits for the end of the run, which must come soon after the signal."""
  child.until('@fault')
  return child.wait(SECONDS)


MOMENTS = {
  'a step': (5, Fault('signal', STEP, call=5, value=[SIGTERM])),
  'a step, by Ctrl-C': (5, Fault('signal', STEP, call=5, value=[SIGINT])),
  'the end of a step': (
    3,
    Fault('signal', STEP, call=3, value=[SIGTERM], after=True),
  ),
  'the first step': (1, Fault('signal', STEP, value=[SIGTERM])),
  'the last step': (8, Fault('signal', STEP, call=8, value=[SIGTERM])),
  'an evaluation': (4, Fault('signal', FORWARD, call=4, value=[SIGTERM])),
  'the last batch': (8, Fault('signal', FORWARD, call=9, value=[SIGTERM])),
  'a save': (
    5,
    Fault(
      'signal',
      'avl_jax.checkpoints.checkpointer.Checkpoints.save',
      call=3,
      value=[SIGINT],
    ),
  ),
}


@pytest.mark.parametrize('moment', some_fast(MOMENTS, 'a step'))
def test_during(moment, begin, unbroken, tmp_path):
  workdir = tmp_path / 'run'
  last, fault = MOMENTS[moment]
  child = _stopped(begin(workdir, faults=[fault]))
  assert child.exit_code == 128 + fault.value[0]
  assert [*child.events('step')][-1] == last
  _check(child, begin, workdir, unbroken)


@pytest.mark.slow
def test_during_a_write_in_the_background(begin, unbroken, tmp_path):
  workdir = tmp_path / 'run'
  fault = Fault('signal', SAVE, matching='checkpoints/4.tmp', value=[SIGTERM])
  child = _stopped(begin(workdir, faults=[fault]))
  assert child.exit_code == 143
  _check(child, begin, workdir, unbroken)


@pytest.mark.slow
def test_during_the_compilation(begin, unbroken, tmp_path):
  workdir = tmp_path / 'run'
  cold = f'--config.compilation_cache={tmp_path}/cache'
  child = begin(workdir, cold)
  child.until('@step 1')
  time.sleep(1)
  child.send(SIGTERM)
  assert child.wait().exit_code == 143
  assert [*child.events('step')] == [1]
  _check(child, begin, workdir, unbroken)


@pytest.mark.slow
@pytest.mark.parametrize('at', [STEP, FORWARD])
def test_twice_ends_at_once(at, begin, unbroken, tmp_path):
  """In a step or an evaluation that would take another minute."""
  workdir = tmp_path / 'run'
  faults = [
    Fault('sleep', at, call=4, value=60),
    Fault('signal', at, call=4, value=[SIGTERM, SIGINT]),
  ]
  child = _stopped(begin(workdir, faults=faults))
  assert child.exit_code == 130
  again = begin(workdir).wait()
  assert again.exit_code == 0, again.stderr
  assert_same_end(workdir, unbroken)
