"""Wall-clock time of a run by section, and its sum."""

import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pytest

from avl_jax.train import timing


@pytest.fixture
def at(monkeypatch):
  """at(seconds): sets the time of the clock."""

  def set_time(seconds):
    monkeypatch.setattr(timing.time, 'perf_counter', lambda: seconds)

  return set_time


def test_sections_add_up_to_the_elapsed_time(at):
  at(10.0)
  clock = timing.Clock(7.0, lost=2.0)
  for start, end, name in (
    (10, 11, 'data'),
    (11, 15, 'step'),
    (15, 16, 'data'),
  ):
    at(start)
    with clock.section(name):
      at(end)
  at(16.1)
  seconds = clock.seconds()
  assert seconds['start'] == 3
  assert seconds['data'] == 2
  assert seconds['step'] == 4
  assert seconds['total'] == pytest.approx(9.1 + 2)
  assert seconds['unnamed'] == pytest.approx(0.1)
  clock.__exit__(None)


def test_a_restart_continues_the_earlier_times(at):
  at(0.0)
  first = timing.Clock(0.0)
  with first.section('step'):
    at(5.0)
  before = first.seconds()
  first.__exit__(None)
  at(100.0)
  second = timing.Clock(99.0, before=before, lost=3.0)
  with second.section('step'):
    at(104.0)
  seconds = second.seconds()
  assert seconds['step'] == 9
  assert seconds['lost'] == 3
  assert seconds['total'] == 5 + 3 + 1 + 4
  assert seconds['unnamed'] == 0
  assert '9.0 s  69.2%  training steps' in second.table()
  second.__exit__(None)


def test_what_helps_against_waiting_is_said_once(at, capsys):
  at(0.0)
  clock = timing.Clock(0.0)
  for data, step in ((9, 1), (1, 9), (6, 4)):  # The first is the start.
    clock.advise(data, step)
  assert capsys.readouterr().out == ''
  for data, step in ((7, 3), (8, 2), (1, 9), (8, 2), (8, 2)):
    clock.advise(data, step)
  (line,) = capsys.readouterr().out.splitlines()
  assert 'wait for data 70% of the time' in line
  assert '--config.train_data.processes=N' in line
  clock.__exit__(None)


def test_time_in_no_section_is_reported(at):
  at(0.0)
  clock = timing.Clock(0.0)
  with clock.section('step'):
    at(97.0)
  at(100.0)
  with pytest.warns(UserWarning, match=r'3\.0 s of 100\.0 s'):
    clock.__exit__(None)


def test_users_do_not_see_the_warning():
  program = """
from avl_jax.train import timing
clock = timing.Clock(timing.time.perf_counter() - 1)
clock._seconds['start'] = 0.0
clock.__exit__(None)
print(clock.seconds()['unnamed'])
"""
  result = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, check=True
  )
  assert float(result.stdout) >= 1
  assert result.stderr == ''


def test_compilation_is_not_counted_twice(monkeypatch):
  monkeypatch.setattr(timing, 'TOLERANCE', 1.0)  # The test's own time.
  clock = timing.Clock(time.perf_counter())
  x = jnp.arange(7.0)
  start = time.perf_counter()
  with clock.section('step'):
    jax.block_until_ready(jax.jit(lambda x: jnp.sin(x) @ x)(x))
  passed = time.perf_counter() - start
  seconds = clock.seconds()
  assert seconds['compile'] > 0
  assert seconds['step'] > 0
  assert 0 <= passed - seconds['step'] - seconds['compile'] < 0.5 * passed
  clock.__exit__(None)
  again = clock.seconds()['compile']
  jax.block_until_ready(jax.jit(lambda x: jnp.cos(x) @ x)(x))
  assert clock.seconds()['compile'] == again


def test_beat_updates_the_heartbeat_file(tmp_path, monkeypatch):
  monkeypatch.setattr(timing, 'TOLERANCE', 1.0)
  path = tmp_path / 'lock'
  path.touch()
  before = path.stat().st_mtime_ns
  clock = timing.Clock(time.perf_counter(), heartbeat=path)
  time.sleep(0.02)
  clock.beat()
  assert path.stat().st_mtime_ns > before
  clock.__exit__(None)


def test_process_start_is_in_the_past():
  age = time.perf_counter() - timing.process_start()
  assert 0 < age < 24 * 3600
