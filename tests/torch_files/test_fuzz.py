"""Ten thousand damaged files: each is read or refused, and nothing else."""

import json
import pathlib
import subprocess
import sys

import pytest

from tests.helpers.torch_files import mutations

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
  ('seed', 'files'),
  [(0, 10_000), pytest.param(1, 100_000, marks=pytest.mark.slow)],
)
def test_damaged_files_are_read_or_refused(tmp_path, seed, files):
  """Bounds on time and memory per file are in `fuzzing`."""
  arguments = ('-m', 'tests.torch_files.fuzzing', seed, 0, files, tmp_path)
  child = subprocess.run(
    [sys.executable, *map(str, arguments)],
    check=False,
    capture_output=True,
    text=True,
    cwd=ROOT,
  )
  assert not child.returncode, (
    f'{(tmp_path / "index").read_text()}: exit code {child.returncode} '
    f'(-27: it took too long). {child.stderr}'
  )
  counts = json.loads(child.stdout)
  assert counts['read'] + counts['refused'] == files
  # Neither all nor none is damaged.
  assert min(counts['read'], counts['refused']) > files // 50


def test_a_damaged_file_is_a_function_of_its_numbers():
  one, other = mutations.seeds(), mutations.seeds()
  first = [mutations.mutated(one, 0, index) for index in range(200)]
  assert first == [mutations.mutated(other, 0, index) for index in range(200)]
  assert len(set(first)) > 190
