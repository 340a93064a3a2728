"""Signals and hanging steps, in processes of their own."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from avl_jax.train.preemption import SIGNALS, Interrupted, Stop

WAITS = """
import sys, time
from avl_jax.train.preemption import Interrupted, Stop
with Stop() as stop:
  print('ready', flush=True)
  end = time.monotonic() + 30
  while time.monotonic() < end and not stop.requested():
    time.sleep(0.01)
  if len(sys.argv) > 1:
    time.sleep(30)
  try:
    stop.check()
  except Interrupted as interrupted:
    sys.exit(interrupted.exit_code)
"""
# One C call during which Python runs no signal handler, as in a compilation.
BUSY = """
import hashlib
from avl_jax.train.preemption import Stop
with Stop() as stop:
  print('ready', flush=True)
  hashlib.pbkdf2_hmac('sha256', b'x', b'y', 4_000_000)
  print('asked', stop.requested(), flush=True)
"""
HANGS = """
import time
from avl_jax.train.preemption import watchdog
with watchdog(20):
  pass
with watchdog(0.3):
  time.sleep(30)
"""


@pytest.fixture
def start():
  """start(program, *arguments): a process, closed at the end of the test."""
  with contextlib.ExitStack() as stack:

    def run(program, *arguments):
      return stack.enter_context(
        subprocess.Popen(
          [sys.executable, '-c', program, *arguments],
          stdout=subprocess.PIPE,
          stderr=subprocess.PIPE,
          text=True,
        )
      )

    yield run


@pytest.mark.parametrize('number', SIGNALS)
def test_the_first_signal_requests_a_stop(start, number):
  process = start(WAITS)
  assert process.stdout.readline() == 'ready\n'
  process.send_signal(number)
  _, said = process.communicate(timeout=20)
  assert process.returncode == 128 + number
  assert f'{number.name} received: finishing this step and saving' in said


def test_the_second_signal_exits_immediately(start):
  process = start(WAITS, 'slow')
  assert process.stdout.readline() == 'ready\n'
  process.send_signal(signal.SIGTERM)
  assert 'finishing' in process.stderr.readline()
  process.send_signal(signal.SIGINT)
  process.wait(timeout=20)
  assert process.returncode == 130


def test_a_signal_is_handled_during_a_long_c_call(start):
  process = start(BUSY)
  assert process.stdout.readline() == 'ready\n'
  process.send_signal(signal.SIGTERM)
  # Printed by the thread, before the call is over.
  assert 'SIGTERM received' in process.stderr.readline()
  assert process.poll() is None
  out, _ = process.communicate(timeout=60)
  assert out == f'asked {signal.SIGTERM:d}\n'


def test_a_hanging_step_exits_with_stack_traces(start):
  process = start(HANGS)
  _, said = process.communicate(timeout=20)
  assert process.returncode == 1
  assert 'Timeout' in said
  assert 'line 7' in said  # where it hung


def test_the_previous_handlers_are_restored():
  before = [signal.getsignal(number) for number in SIGNALS]
  with Stop() as stop:
    assert not stop.requested()
    os.kill(os.getpid(), signal.SIGTERM)
    deadline = time.monotonic() + 10
    while not stop.requested() and time.monotonic() < deadline:
      time.sleep(0.01)
    with pytest.raises(Interrupted, match='Stopped by SIGTERM'):
      stop.check()
  assert [signal.getsignal(number) for number in SIGNALS] == before
