"""Killed writers, full disks, damaged files, readers beside a writer."""

import dataclasses
import errno
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from avl_jax.errors import UserError
from avl_jax.search.store import journal, shards
from avl_jax.search.store.index import Index
from tests.helpers.search import changes, made_up
from tests.helpers.search.damage import DAMAGE, flip

ROOT = pathlib.Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, 'OPENBLAS_NUM_THREADS': '1'}


def _killed(folder, every):
  result = subprocess.run(
    [sys.executable, '-m', 'tests.helpers.search.killing', folder, str(every)],
    cwd=ROOT,
    env=ENVIRONMENT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 0, result.stderr[-2000:]
  return int(result.stdout.splitlines()[-1])


def test_killed_at_some_lines(tmp_path):
  assert _killed(tmp_path, every=229) > 7


@pytest.mark.slow
def test_killed_at_every_line(tmp_path):
  assert _killed(tmp_path, every=1) > 1000


def _read_until(folder, process, seconds):
  """Reads while the process writes; returns the snapshots that differed."""
  seen, end = 0, time.monotonic() + seconds
  with Index.open(folder) as reader:
    while time.monotonic() < end and process.poll() is None:
      changes.state(reader)
      seen += reader.refresh()
      with Index.open(folder) as other:
        changes.state(other)
  return seen


def _kill_at_random(folder, rounds):
  """Kills writers after random times, with a reader beside them."""
  Index.create(folder, made_up.description()).close()
  rng = np.random.default_rng(0)
  changed = 0
  for seed in range(rounds):
    process = subprocess.Popen(
      [sys.executable, '-m', 'tests.helpers.search.changes', folder, str(seed)],
      cwd=ROOT,
      env=ENVIRONMENT,
      stdout=subprocess.PIPE,
    )
    try:
      assert b'0\n' in iter(process.stdout.readline, b'')
      _read_until(folder, process, rng.uniform(0.02, 0.4))
    finally:
      process.kill()
      changed += len(process.communicate()[0].splitlines())
    with Index.open(folder) as index:
      changes.state(index)
  return changed


def test_killed_at_random_beside_a_reader(tmp_path):
  assert _kill_at_random(tmp_path / 'index', 2) > 3


@pytest.mark.slow
def test_killed_often_beside_a_reader(tmp_path):
  assert _kill_at_random(tmp_path / 'index', 100) > 300


@pytest.fixture
def folder(tmp_path):
  """An index of three files, one of which has no sound."""
  with Index.create(tmp_path / 'index', made_up.description()) as index:
    for number, path in enumerate(('a.mp4', 'b.mp4')):
      changes.put(index, path, 3, number)
    changes.put(index, 'c.png', 1, 7)
  return tmp_path / 'index'


def _limit(room):
  """No file of this process may become longer than `room` bytes."""
  hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
  resource.setrlimit(
    resource.RLIMIT_FSIZE, (hard if room is None else room, hard)
  )


SYNC = 'avl_jax.checkpoints.manifest.sync'


# Room -> what does not fit: vectors, half of them, and the journal.
@pytest.mark.parametrize('room', [0, 7 * 96 + 50, 7 * 96 + 20 * 96])
def test_a_full_disk(folder, room):
  before = {
    p.name: p.read_bytes() for p in folder.iterdir() if p.name != 'lock'
  }
  with Index.open(folder, write=True) as index:
    remarks = ('x' * 4000,)
    file = dataclasses.replace(made_up.file('d.mp4'), remarks=remarks)
    content = (
      made_up.windows(20),
      made_up.vectors(20, 8),
      made_up.everywhere(20),
    )
    _limit(room)
    try:
      with pytest.raises(UserError, match='cannot be written: File too large'):
        index.add(file, *content)
    finally:
      _limit(None)
    assert [f.path for f in index.files()] == ['a.mp4', 'b.mp4', 'c.png']
    left = {
      p.name: p.read_bytes() for p in folder.iterdir() if p.name != 'lock'
    }
    assert {name: left[name] for name in before} == before
    index.add(file, *content)
    assert index.count == 27
  with Index.open(folder) as index:
    assert index.check() == []
    assert index.rows_of('d.mp4').tolist() == list(range(7, 27))


@pytest.mark.parametrize('name', ['os.replace', 'os.fsync', SYNC])
@pytest.mark.parametrize('change', ['drop', 'put', 'compact'])
def test_a_commit_that_fails_at_its_end(folder, monkeypatch, name, change):
  """After the last one, it is done although its reader is told otherwise."""

  def fail(*_):
    raise OSError(errno.ENOSPC, 'No space left on device')

  with Index.open(folder, write=True) as index:
    for number in range(110):  # Make the journal long.
      index.move('1', f'{number % 2}.mp4')
    changed = {
      'drop': lambda: index.drop('1.mp4'),
      'put': lambda: changes.put(index, 'd.mp4', 2, 5),
      'compact': index.compact,
    }[change]
    before = changes.state(index)
    with monkeypatch.context() as patch:
      patch.setattr(name, fail)
      with pytest.raises(UserError, match='No space left'):
        changed()
    after = changes.state(index)
    with Index.open(folder) as other:
      assert changes.state(other) == after
    assert (after == before) == (name != SYNC or change == 'compact')
    changes.put(index, 'd.mp4', 2, 5)
    assert len(changes.state(index)) == len(after) + ('d.mp4' not in after)
  with Index.open(folder) as index:
    assert index.check() == []


def test_every_changed_byte_of_the_journal_is_noticed(folder):
  [path] = folder.glob('journal-*.jsonl')
  content = path.read_bytes()
  for place in range(0, len(content), 7):
    changed = bytearray(content)
    changed[place] ^= 1 << place % 8
    path.write_bytes(changed)
    with pytest.raises(journal.DamageError, match=path.name):
      journal.read(folder)
  path.write_bytes(content)
  assert Index.open(folder).count == 7


def test_every_changed_byte_of_head_is_noticed(folder):
  content = (folder / 'HEAD').read_bytes()
  for place in range(len(content)):
    changed = bytearray(content)
    changed[place] ^= 1 << place % 8
    (folder / 'HEAD').write_bytes(changed)
    with pytest.raises(journal.DamageError, match='HEAD has changed'):
      journal.read(folder)


KINDS = ('HEAD', 'journal-1.jsonl', 'video.000000000000.float32')


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('damage', DAMAGE)
def test_damage_is_noticed_and_named(folder, kind, damage):
  DAMAGE[damage](folder / kind)
  try:
    with Index.open(folder) as index:
      [found, *_] = index.check()
  except UserError as error:
    found = str(error)
  assert str(folder / kind) in found


@pytest.mark.parametrize('value', [np.nan, np.inf, 3e38])
def test_a_damaged_vector_is_no_answer(folder, value):
  path = folder / 'video.000000000000.float32'
  with Index.open(folder) as index:
    row = int(index.rows_of('b.mp4')[1])
    query = index.vectors('video', [0])
    expected = index.search('video', query, 3, among=['a.mp4'])
  stored = np.memmap(path, np.float32, 'r+').reshape(-1, made_up.DIM)
  stored[row, 1] = np.copysign(value, query[0, 1])
  stored.flush()
  with Index.open(folder) as index:
    with pytest.raises(UserError, match=r'float32 has changed.* of b\.mp4'):
      index.search('video', query, 3)
    found = index.search('video', query, 3, among=['a.mp4'])
    np.testing.assert_array_equal(found, expected)


def test_damage_behind_the_back_of_a_reader(folder):
  with Index.open(folder) as index:
    flip(folder / 'video.000000000000.float32')
    [line] = index.check()
    assert 'vectors of b.mp4' in line
    shutil.rmtree(folder)
    assert len(index.check()) == 6  # HEAD, and what the three files have.


def test_a_damaged_file_can_be_indexed_again(folder):
  flip(folder / 'video.000000000000.float32')
  with Index.open(folder, write=True) as index:
    changes.put(index, 'b.mp4', 3, 1)
    assert index.check() == []


def test_compaction_copies_no_damage(folder):
  with Index.open(folder, write=True) as index:
    for path in ('a.mp4', 'c.png'):
      index.drop(path)
    flip(folder / 'video.000000000000.float32')
    with pytest.raises(UserError, match=r'vectors of b\.mp4'):
      index.compact()


def test_a_later_format(folder):
  lines = journal.read(folder)[1]
  journal.replace(folder, {**lines[0], 'format': 2}, *lines[1:])
  with pytest.raises(UserError, match='later version'):
    Index.open(folder)


def test_a_folder_that_cannot_be_written(folder):
  """It can be read: a reader writes nothing."""
  before = sorted((p.name, p.stat().st_mtime_ns) for p in folder.iterdir())
  folder.chmod(0o500)
  try:
    with Index.open(folder) as index:
      assert index.check() == []
      assert index.search('video', np.ones((1, made_up.DIM)), 2)[1].min() >= 0
  finally:
    folder.chmod(0o700)
  assert before == sorted(
    (p.name, p.stat().st_mtime_ns) for p in folder.iterdir()
  )


def test_vectors_that_half_precision_cannot_hold(tmp_path):
  def add(value, place):
    made = made_up.vectors(3, 1)
    made['audio'][place] = value
    index.add(
      made_up.file('b.mp4'), made_up.windows(3), made, made_up.everywhere(3)
    )

  with Index.create(tmp_path / 'i', made_up.description('float16')) as index:
    made_up.add(index, 'a.mp4', 3, 1)
    for value, words in (
      (65520.0, 'Half precision cannot hold'),
      (1e-7, 'Half precision cannot hold'),
      (np.inf, 'not finite'),
      (np.nan, 'not finite'),
      (1e19, 'finite in float32'),
    ):
      with pytest.raises(UserError, match=words) as caught:
        add(value, np.s_[1])
      assert 'b.mp4' in str(caught.value)
    assert [file.path for file in index.files()] == ['a.mp4']
    assert index.check() == []
    add(65000.0, np.s_[1])
    add(0.0, np.s_[1])
    assert np.isfinite(index.vectors('audio', index.rows_of('b.mp4'))).all()


def test_shards_do_not_go_on_for_ever(tmp_path, monkeypatch):
  """Dropped rows are masked; compaction gives their space back."""
  monkeypatch.setattr(shards, 'LIMIT', 10 * made_up.DIM * 4)
  with Index.create(tmp_path / 'index', made_up.description()) as index:
    for number in range(60):
      changes.put(index, f'{number}.mp4', 2, number)
    kept = [5, 6, 59]
    for number in set(range(60)) - set(kept):
      index.drop(f'{number}.mp4')
    # The other shards have no rows left and are gone.
    assert len(list(index.folder.glob('video.*'))) == 2
    assert (
      len((index.folder / 'journal-1.jsonl').read_bytes().splitlines()) > 99
    )
    before = changes.state(index)
    index.compact()
    assert changes.state(index) == before
    assert sorted(before) == ['5.mp4', '59.mp4', '6.mp4']
    sizes = [path.stat().st_size for path in index.folder.glob('video.*')]
    assert sum(sizes) <= 10 * made_up.DIM * 4
    assert index.rows_of('5.mp4').min() >= 118
    [path] = index.folder.glob('journal-*.jsonl')
    assert len(path.read_bytes().splitlines()) == 4
    changes.put(index, 'a.mp4', 3, 9)
  with Index.open(index.folder) as again:
    assert changes.state(again) == {**before, 'a.mp4': ('9', 3)}
