"""The whole command, killed in the middle, and two of them at once."""

import pathlib
import signal
import subprocess
import sys

import pytest

from avl_jax.search.store.index import Index
from tests.helpers.search import killed
from tests.helpers.search.contents import KINDS, assert_same, contents

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture
def start(run, good_media, tmp_path):
  """start(moment, number): starts a process that indexes `good_media`."""

  def begin(moment='', number=0):
    command = [
      *(sys.executable, '-m', 'tests.helpers.search.killed'),
      *(moment, str(number), '--mode=index', f'--workdir={run}'),
      f'--config.search.media_dir={good_media}',
      f'--config.search.index={tmp_path}/index',
      '--config.compilation_cache=',
    ]
    return subprocess.Popen(
      command, cwd=ROOT, stdout=-1, stderr=subprocess.STDOUT, text=True
    )

  return begin


def _assert_complete(folder, expected):
  found, expected = contents(folder), contents(expected)
  assert found.keys() == expected.keys()
  for path in expected:
    assert_same(([], *found[path][1:]), ([], *expected[path][1:]))
  kept = [p for p in folder.rglob('*') if p.suffix in ('.npz', '.tmp')]
  assert len(kept) == len(expected)


@pytest.mark.slow
@pytest.mark.parametrize('moment', killed.MOMENTS)
def test_a_killed_indexer_loses_the_file_in_flight(
  moment, start, good_index, tmp_path
):
  process = start(moment, 3)
  printed, _ = process.communicate(timeout=600)
  assert process.returncode == -signal.SIGKILL, printed
  before = contents(tmp_path / 'index')
  assert len(before) < len(KINDS)
  again = start()
  printed, _ = again.communicate(timeout=600)
  assert again.returncode == 0, printed
  assert f'This time: {len(KINDS) - len(before)} new' in printed
  assert 'did not finish' in printed
  _assert_complete(tmp_path / 'index', good_index)
  for path, expected in before.items():
    assert_same(contents(tmp_path / 'index')[path], expected)


@pytest.mark.slow
def test_two_at_once_and_a_reader(start, good_index, tmp_path):
  """One is refused by name; whoever reads sees whole files at every moment."""
  both, seen = [start(), start()], set()
  while any(process.poll() is None for process in both):
    if (tmp_path / 'index/HEAD').exists():
      with Index.open(tmp_path / 'index') as index:
        assert not index.check()
        seen.add(len(index.files()))
  printed = [process.communicate()[0] for process in both]
  assert sorted(process.returncode for process in both) == [0, 1], printed
  (refused,) = [text for text in printed if 'error: ' in text]
  assert 'index is in use by process' in refused
  assert 'Traceback' not in refused
  assert seen <= {*range(len(KINDS) + 1)}
  _assert_complete(tmp_path / 'index', good_index)
