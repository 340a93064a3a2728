"""Fixtures that start runs with faults, and comparisons with a normal run."""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

import jax
import jax.flatten_util
import numpy as np
import orbax.checkpoint as ocp
import pytest

from avl_jax.train.metrics_log import read_history
from tests.helpers.faulty_runs import Request
from tests.helpers.ports import free_port

ROOT = pathlib.Path(__file__).parents[2]
NUM_STEPS, SAVE_EVERY = 8, 2
EVALUATION = {
  'datasets': ('stamps/narrated_fr',),
  'splits': ('validation', 'unseen_words'),
  'num_queries': 0,
}
SETTINGS = (
  '--config=configs/stamps.py',
  f'--config.num_steps={NUM_STEPS}',
  '--config.train_data.batch_size=8',
  '--config.train_data.num_frames=64',
  '--config.train.log_every=2',
  '--config.train.eval_every=4',
  f'--config.train.save_every={SAVE_EVERY}',
  f'--config.eval_data.evaluations={dict(narrated_fr=EVALUATION)}',
  '--config.eval_data.batch_size=12',  # Three batches, of two hosts two each.
  '--config.model.embed_dim=16',
  '--config.model.widths=(4, 4)',
  '--config.model.blocks=(1,)',
  '--config.compilation_cache=~/.cache/avl_jax/tests',
)
TIMEOUT = 300  # seconds that a run may take


def some_fast(cases: Iterable, *fast: object) -> list:
  """Marks all parameters as slow, except the named ones."""
  return [
    name if name in fast else pytest.param(name, marks=pytest.mark.slow)
    for name in cases
  ]


class Launcher:
  """Process that forks the runs; see `child`."""

  def __init__(self, process: subprocess.Popen):
    self._process = process

  def ask(self, request: object) -> int:
    self._process.stdin.write(json.dumps(request) + '\n')
    self._process.stdin.flush()
    return int(self._process.stdout.readline())


class Child:
  """A run in a process of its own.

  Attributes:
    pid: id of the process.
    exit_code: None until `wait`; -9 if the run was killed.
  """

  def __init__(self, launcher: Launcher, request: Request):
    self._launcher, self._folder = launcher, pathlib.Path(request.folder)
    self.pid = launcher.ask(dataclasses.asdict(request))
    self._ended = os.pidfd_open(self.pid)
    self.exit_code = None

  def send(self, number: int) -> None:
    """Sends a signal if the run has not ended."""
    if self.exit_code is None:
      with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(self._ended, number)

  def lives(self, seconds: float = 0) -> bool:
    """Whether the run is still alive after some seconds."""
    return not select.select([self._ended], [], [], seconds)[0]

  def wait(self, seconds: float = TIMEOUT) -> 'Child':
    """Waits for the end of the run; kills a hanging run and fails the test."""
    if self.exit_code is None:
      hangs = self.lives(seconds)
      if hangs:
        self.send(signal.SIGUSR1)  # For the stack.
        self.lives(1)
      self.send(signal.SIGKILL)
      self.exit_code = self._launcher.ask(self.pid)
      os.close(self._ended)
      time.sleep(0.2)  # Its last output may still be in a pipe; see `_fill`.
      assert not hangs, f'The run hung:\n{self.stdout}\n{self.stderr}'
    return self

  def until(self, what: str) -> None:
    """Waits until the run has printed an event, such as '@step 3'."""
    deadline = time.monotonic() + TIMEOUT
    while f'{what} ' not in self.stdout:
      assert self.lives(0.01), f'The run ended before {what}:\n{self.stderr}'
      assert time.monotonic() < deadline, f'no {what}:\n{self.stderr}'

  @property
  def stdout(self) -> str:
    return (self._folder / 'stdout').read_text()

  @property
  def stderr(self) -> str:
    return (self._folder / 'stderr').read_text()

  def events(self, kind: str) -> dict[int, str]:
    """Events of a kind that the run has printed, number -> text."""
    lines = self.stdout.splitlines()
    events = [line.split(' ', 2) for line in lines if line.startswith('@')]
    return {
      int(number): text for name, number, text in events if name == f'@{kind}'
    }

  @property
  def first(self) -> int:
    """Step after which the run started to train."""
    (step,) = self.events('from')
    return step


@pytest.fixture(scope='session')
def launcher():
  command = [sys.executable, '-m', 'tests.helpers.faulty_runs']
  with subprocess.Popen(
    command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
  ) as process:
    yield Launcher(process)
    process.stdin.close()


@pytest.fixture(scope='session')
def arguments(stamps_folder, stamps_records):
  """Arguments of a small run, except its workdir."""
  data = (
    f'--config.data_dir={stamps_records}',
    f'--config.prepare.media_dir={stamps_folder}',
  )
  return (*SETTINGS, *data)


@pytest.fixture(scope='session')
def begin(launcher, arguments, tmp_path_factory):
  """begin(workdir, *arguments, faults=(), devices=2): starts a `Child`."""
  children, folder = [], tmp_path_factory.mktemp('output')
  numbers = itertools.count()

  def start(workdir, *more, faults=(), devices=2) -> Child:
    output = folder / f'{next(numbers)}'
    output.mkdir()
    (output / 'stdout').touch()
    (output / 'stderr').touch()
    flags = (
      f'--xla_force_host_platform_device_count={devices} '
      '--xla_backend_optimization_level=0'
    )
    request = Request(
      (*arguments, f'--workdir={workdir}', *more),
      str(output),
      {'XLA_FLAGS': flags},
      faults,
    )
    children.append(Child(launcher, request))
    return children[-1]

  yield start
  for child in children:
    child.send(signal.SIGKILL)  # A failed test may have left it running.
    child.wait()


@pytest.fixture(scope='session')
def pair(begin):
  """pair(workdir, *arguments, faults=((), ()), devices=2): two processes."""

  def start(workdir, *more, faults=((), ()), devices=2) -> list[Child]:
    coordinator = f'--coordinator=127.0.0.1:{free_port()}'
    shared = (coordinator, '--num_processes=2', *more)
    return [
      begin(
        workdir,
        *shared,
        f'--process_id={index}',
        faults=faults[index],
        devices=devices,
      )
      for index in range(2)
    ]

  return start


@pytest.fixture(scope='session')
def whole(begin, tmp_path_factory):
  """Workdir of a run without faults, and its `Child`."""
  workdir = tmp_path_factory.mktemp('unbroken') / 'run'
  child = begin(workdir).wait()
  assert child.exit_code == 0, child.stderr
  assert list(child.events('step')) == [*range(1, NUM_STEPS + 1)]
  return workdir, child


@pytest.fixture(scope='session')
def unbroken(whole):
  """Workdir of a run without faults."""
  return whole[0]


def rows(workdir: pathlib.Path) -> list[dict]:
  """Rows of metrics.jsonl, without measurements of time."""
  kept = [
    {
      name: value
      for name, value in row.items()
      if not name.startswith('seconds/')
      and name not in ('clips_per_second', 'waiting_for_data')
    }
    for row in read_history(workdir / 'metrics.jsonl')
  ]
  return [row for row in kept if len(row) > 1]


def steps(workdir: pathlib.Path) -> list[int]:
  """Steps of the checkpoints; fails if there are other files than damaged."""
  names = [path.name for path in (workdir / 'checkpoints').iterdir()]
  return sorted(int(name) for name in names if 'damaged' not in name)


def arrays(workdir: pathlib.Path, step: int = NUM_STEPS) -> dict:
  """Arrays of a checkpoint."""
  path = workdir / 'checkpoints' / str(step)
  with ocp.StandardCheckpointer() as checkpointer:
    return {
      name: checkpointer.restore(path / name)
      for name in ('variables', 'training')
    }


def assert_same_end(workdir: pathlib.Path, other: pathlib.Path) -> None:
  """Asserts equal checkpoints, bit for bit, and equal logs."""
  assert steps(workdir) == steps(other)
  found, expected = arrays(workdir), arrays(other)
  assert len(jax.tree.leaves(expected)) > 40
  jax.tree.map(_assert_same_bits, found, expected)
  assert rows(workdir) == rows(other)


def _assert_same_bits(x, y) -> None:
  x, y = np.asarray(x), np.asarray(y)
  assert (x.dtype, x.shape) == (y.dtype, y.shape)
  assert x.tobytes() == y.tobytes()


def assert_close_end(workdir: pathlib.Path, other: pathlib.Path) -> None:
  """Asserts equality up to rounding: other devices add in another order.

  That moves a float32 number by a few of its last bits. Adam divides by the
  size of the gradient, so it amplifies this in parameters whose gradient is
  hardly more than rounding. Therefore the change of all variables is compared
  as a whole.
  """
  assert steps(workdir) == steps(other)
  for row, expected in zip(rows(workdir), rows(other), strict=True):
    assert row['step'] == expected['step']
    assert row.keys() == expected.keys()
    if 'loss' in row:
      assert row['loss'] == pytest.approx(expected['loss'], rel=1e-5)
  found, expected, start = (
    jax.flatten_util.ravel_pytree(arrays(*which)['variables'])[0]
    for which in ((workdir,), (other,), (other, steps(other)[0]))
  )
  change = np.linalg.norm(expected - start)
  assert change > 0.1
  assert np.linalg.norm(found - expected) < 1e-3 * change


def assert_one_message(child: Child) -> None:
  """Asserts that a run ended with 1 and one error message, printed last."""
  assert child.exit_code == 1
  lines = child.stderr.splitlines()
  found = [line for line in lines if re.match(r'(\d.*\] )?error: ', line)]
  assert len(found) == 1, child.stderr
  # Orbax and TensorBoard may have printed more before.
  assert not any('Traceback' in line for line in lines[-3:])
