"""The check of a GPU, in a small form on CPUs."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.gpu import (
  __main__ as command,
)
from benchmarks.gpu import (
  arithmetic,
  golden_numbers,
  isolation,
  nearest,
  parts,
  repeats,
  wrong_results,
)

ROOT = pathlib.Path(__file__).parents[2]
FAILING = 'tests.helpers.failing_cases'
NO_TRITON = '--xla_gpu_enable_triton_gemm=false'


def _without_seconds(rows):
  return [{k: v for k, v in row.items() if k != 'seconds'} for row in rows]


def test_what_aborts_is_a_row_and_the_other_cases_run(tmp_path, monkeypatch):
  monkeypatch.setenv('XLA_FLAGS', '--a')
  part = parts.Part('', FAILING, 300, {'p': {'XLA_FLAGS': '--b'}})
  rows = _without_seconds(isolation.run(part, 'SMALL', tmp_path))
  assert rows == [
    {'process': 'p', **row}
    for row in (
      {'case': 'first', 'result': 'right', 'flags': f'--a --b {NO_TRITON}'},
      {'case': 'raises', 'result': 'ValueError: told'},
      {'case': 'aborts', 'result': 'ended by SIGABRT: F1231 a check failed'},
      {'case': 'two', 'what': 1},
      {'case': 'two', 'what': 2},
      {'case': 'exits', 'result': 'ended with status 3'},
      {'case': 'last', 'result': 'right'},
      {'case': 'after the last case', 'result': 'ended by SIGABRT'},
    )
  ]


@pytest.mark.slow
def test_what_hangs_is_a_row_and_ends_the_part(tmp_path):
  part = parts.Part('', FAILING, 10, {'p': {}, 'another': {}})
  assert isolation.run(part, 'FULL', tmp_path) == [
    {
      'process': 'p',
      'case': 'hangs',
      'result': 'no answer in the time of this part',
    },
    {'process': 'p', 'case': 'after', 'result': 'not run'},
    {'process': 'another', 'result': 'not run'},
  ]


def test_no_process_loads_the_programs_of_another(tmp_path, monkeypatch):
  found = []
  monkeypatch.setattr(
    isolation, '_cases', lambda *args: found.append(args[3]) or ([], False)
  )
  for part in parts.PARTS:
    found.clear()
    isolation.run(part, 'SMALL', tmp_path)
    caches = {each['JAX_COMPILATION_CACHE_DIR'] for each in found}
    assert len(caches) == len(part.processes)


def test_a_part_that_cannot_begin_says_so(tmp_path):
  part = parts.Part('', 'benchmarks.gpu.absent', 300)
  (row,) = isolation.run(part, 'SMALL', tmp_path)
  assert row['case'] == 'before the first case'
  assert "No module named 'benchmarks.gpu.absent'" in row['result']


@pytest.mark.parametrize('module', [arithmetic, wrong_results, nearest])
def test_cpus_compute_right(module):
  for name, case in module.cases(parts.SMALL).items():
    rows = case()
    for row in rows if isinstance(rows, list) else [rows]:
      if name != 'device':
        assert row['result'] == 'right', (name, row)


def test_a_wrong_answer_of_the_index_is_told(monkeypatch):
  search = nearest.Index.search

  def second(*args):
    scores, rows = search(*args)
    return scores, rows[:, ::-1]

  monkeypatch.setattr(nearest.Index, 'search', second)
  assert all(row['result'] == 'WRONG' for row in nearest.index(parts.SMALL))


def test_what_is_wrong_is_told():
  x = np.array([1.0, -4.0])
  assert arithmetic.compare(x, x, 0)['result'] == 'right'
  row = arithmetic.compare([1.0, -4.1], x, 0.02)
  assert (row['difference'], row['result']) == ('2.5e-02', 'WRONG')
  assert arithmetic.compare([1, np.nan], x, 9)['result'] == 'WRONG'
  assert 'WRONG' in wrong_results._equal([1, 2], [1, 3])['result']


def test_absent_golden_numbers_are_told(tmp_path, monkeypatch):
  monkeypatch.setattr(golden_numbers, 'GOLDEN', tmp_path / 'golden')
  (case,) = golden_numbers.cases(parts.FULL).values()
  assert case() == {'result': f'absent: {tmp_path}/golden'}


def test_a_table_has_all_columns():
  rows = [{'case': 'a', 'seconds': 1}, {'case': 'b|c', 'result': 'right'}]
  assert command.table(rows).splitlines() == [
    '| case | result | seconds |',
    '| --- | --- | --- |',
    '| a |  | 1 |',
    '| b/c | right |  |',
  ]


def test_repeated_steps_are_compared_over_processes():
  rows = [
    {'process': 'usual', 'first': 'a', 'second': 'a', 'ms a step': 4},
    {'process': 'usual, 2', 'first': 'b', 'second': 'a', 'ms a step': 5},
    {'process': 'deterministic', 'result': 'ended by SIGABRT'},
    {'process': 'deterministic', 'first': 'c', 'second': 'c', 'ms a step': 5},
  ]
  assert repeats.sentences(rows) == [
    'usual: 4 runs of ten steps, 2 results.',
    'deterministic: 2 runs of ten steps, 1 results.',
    'Deterministic kernels cost +25.0%.',
  ]


def test_all_parts_together_take_six_minutes():
  assert sum(part.seconds for part in parts.PARTS) <= 360


@pytest.mark.slow
def test_the_command(tmp_path):
  path = tmp_path / 'gpu.json'
  command = ['-m', 'benchmarks.gpu', '--small', '--times', '5', '--json', path]
  (tmp_path / 'tensorflow.py').write_text('raise ImportError("not needed")')
  result = subprocess.run(
    [sys.executable, *command],
    cwd=ROOT,
    env={**os.environ, 'PYTHONPATH': str(tmp_path)},
    capture_output=True,
    text=True,
    check=True,
  )
  tables = json.loads(path.read_text())
  assert list(tables) == [part.name for part in parts.PARTS]
  for part in parts.PARTS:
    assert f'## {part.title}' in result.stdout
    for row in tables[part.name]:
      assert 'seconds' in row, row  # It ended.
      assert 'WRONG' not in row.get('result', ''), row
      assert 'Error' not in row.get('result', ''), row
  assert 'usual: 4 runs of ten steps, 1 results.' in result.stdout
  rows = [row for row in tables['step_parts'] if 'part' in row]
  assert float(rows[-1]['products, ms']) > 0
