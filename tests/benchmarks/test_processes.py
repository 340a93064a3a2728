"""Processes of the benchmarks: how XLA computes there, and how they end."""

import argparse

import pytest

from avl_jax import compilation, parallel
from avl_jax.modes import train
from benchmarks import (
  bfloat16,
  cold_start,
  evaluate,
  full_size,
  pieces,
  workers,
)
from tests.helpers import failing_cases


class _CalledError(Exception):
  pass


@pytest.mark.parametrize(
  'function',
  [
    lambda: full_size.make_step({}, '', '', False),
    lambda: evaluate.embed(0, 0, ''),
    lambda: evaluate.by_tiles(None, None),
    lambda: pieces._make(argparse.Namespace(), 0, 0),
  ],
  ids=['full_size', 'embed', 'by_tiles', 'pieces'],
)
def test_triton_is_left_out_before_anything_is_computed(function, monkeypatch):
  def avoid():
    raise _CalledError

  monkeypatch.setattr(compilation, 'avoid_triton', avoid)
  # What comes after it refuses these arguments with another error.
  with pytest.raises(_CalledError):
    function()


def test_a_process_that_ends_is_not_waited_for():
  process, pipe = workers.spawn(failing_cases.exit_at_once)
  with pytest.raises(EOFError):
    pipe.recv()
  process.join()
  with pytest.raises(EOFError), pieces.worker():  # Misses its arguments.
    pass


def test_the_first_line_of_an_error_is_told():
  with workers.worker(workers.OURS, argparse.Namespace()) as (_, facts):
    pass  # Misses its options.
  assert facts['missing'].startswith("AttributeError: 'Namespace' object has")


def test_a_cold_start_marks_what_the_program_has():
  assert callable(parallel.pmap_step)
  for name in cold_start.PARTS:
    assert callable(getattr(train, name))


@pytest.mark.parametrize(
  ('flags', 'expected'), [([], '--a'), (['--flags=--b'], '--b')]
)
def test_flags_of_the_environment_stay(flags, expected, monkeypatch, capsys):
  monkeypatch.setenv('XLA_FLAGS', '--a')
  monkeypatch.setattr(bfloat16, '_cases', dict)
  monkeypatch.setattr('sys.argv', ['bfloat16', *flags])
  bfloat16.main()
  assert capsys.readouterr().out.endswith(f', {expected}\n')
