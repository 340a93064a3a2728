"""Worker processes of the loader: killed, stopped, and left by their run.

The run without faults makes its batches in threads, so its end is also that of
batches made by processes.
"""

import contextlib
import os
import pathlib
import signal
import time

import pytest

from tests.faults.conftest import assert_one_message, assert_same_end, steps
from tests.helpers.faulty_runs import Fault

TWO = '--config.train_data.processes=2'
MAKE = 'input_pipeline.batches.processes.Workers.make'
STEP = 'avl_jax.parallel.pmap_step()'

pytestmark = pytest.mark.slow


def _below(pid):
  """Processes that a process started, and that these started."""
  found = set()
  for path in pathlib.Path(f'/proc/{pid}/task').glob('*/children'):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      for child in map(int, path.read_text().split()):
        found |= {child} | _below(child)
  return found


def _lives(pid):
  return pathlib.Path(f'/proc/{pid}/exe').exists()


def _gone(pids, seconds=30):
  """Whether processes end within some seconds; kills those that do not."""
  ends = time.monotonic() + seconds
  while any(map(_lives, pids)) and time.monotonic() < ends:
    time.sleep(0.1)
  left = [pid for pid in pids if _lives(pid)]
  for pid in left:
    os.kill(pid, signal.SIGKILL)
  return not left


def _resume(begin, workdir, unbroken, *arguments):
  again = begin(workdir, *arguments).wait()
  assert again.exit_code == 0, again.stderr
  assert_same_end(workdir, unbroken)


def test_a_killed_worker(begin, unbroken, tmp_path):
  """The run ends with one message; the checkpoint before is good."""
  workdir = tmp_path / 'run'
  fault = Fault('kill_worker', MAKE, call=7)
  # The fifth step waits for what comes of the seventh batch.
  slow = Fault('sleep', STEP, call=5, value=5)
  child = begin(workdir, TWO, faults=[fault, slow])
  child.until('@step 1')
  workers = _below(child.pid)
  child.wait()
  assert_one_message(child)
  assert 'error: A worker process of the loader ended before' in child.stderr
  assert _gone(workers)
  assert len(workers) == 3  # and Python's tracker of resources
  assert 4 in steps(workdir)
  assert max(steps(workdir)) < 8
  _resume(begin, workdir, unbroken)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_processes(number, begin, unbroken, tmp_path):
  """As from Ctrl-C, or `timeout`: the run finishes its step and saves."""
  workdir = tmp_path / 'run'
  slow = Fault('sleep', STEP, call=3, value=5)
  child = begin(workdir, TWO, faults=[slow])
  child.until('@fault')
  workers = _below(child.pid)
  for pid in (*workers, child.pid):
    os.kill(pid, number)
  child.wait()
  assert child.exit_code == 128 + number
  assert 'Traceback' not in child.stderr
  assert steps(workdir)[-1] == 3
  assert _gone(workers)
  _resume(begin, workdir, unbroken, '--config.train_data.processes=1')


def test_a_killed_run(begin, unbroken, tmp_path):
  """Its workers end by themselves."""
  workdir = tmp_path / 'run'
  slow = Fault('sleep', STEP, call=6, value=60)
  child = begin(workdir, TWO, faults=[slow])
  child.until('@fault')
  workers = _below(child.pid)
  assert len(workers) == 3
  child.send(signal.SIGKILL)
  child.wait()
  assert _gone(workers)
  _resume(begin, workdir, unbroken, TWO)
