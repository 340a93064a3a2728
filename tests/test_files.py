"""Atomic writes, folder locks, and paths inside a folder."""

import os
import subprocess
import sys

import pytest

from avl_jax.errors import UserError
from avl_jax.files import Lock, OutsideError, inside, write_atomically

HOLDS = """
import pathlib, sys, time
from avl_jax.files import Lock
lock = Lock(pathlib.Path(sys.argv[1]))
print('locked', flush=True)
time.sleep(60)
"""


def _hold(folder):
  process = subprocess.Popen(
    [sys.executable, '-c', HOLDS, str(folder)],
    stdout=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == 'locked\n'
  return process


def test_a_lock_is_exclusive_until_its_owner_dies(tmp_path, capsys):
  process = _hold(tmp_path / 'run')
  with pytest.raises(UserError, match=f'in use by process {process.pid} on'):
    Lock(tmp_path / 'run')
  process.kill()
  process.wait()
  process.stdout.close()
  os.utime(tmp_path / 'run' / 'lock', (1000, 1000))
  lock = Lock(tmp_path / 'run')
  printed = capsys.readouterr().out
  assert f'previous run (process {process.pid} on' in printed
  assert lock.last_alive == 1000
  assert f'process {os.getpid()}' in lock.path.read_text()
  with lock:
    pass
  assert lock.path.read_text() == ''
  with Lock(tmp_path / 'run') as again:
    assert again.last_alive is None
  assert capsys.readouterr().out == ''


def test_a_folder_that_cannot_be_created(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(UserError, match='cannot be written: Not a dir'):
    Lock(tmp_path / 'file' / 'run')


def test_a_file_is_replaced_whole(tmp_path):
  path = tmp_path / 'new' / 'file'
  write_atomically(path, 'one')
  write_atomically(path, b'two')
  assert path.read_bytes() == b'two'
  assert [p.name for p in path.parent.iterdir()] == ['file']


def test_paths_stay_inside(tmp_path):
  root = tmp_path / 'features'
  (root / 'cat').mkdir(parents=True)
  (tmp_path / 'secret').write_text('secret')
  (root / 'link').symlink_to(tmp_path)
  (root / 'cat' / 'own').symlink_to(root)
  assert inside(root, 'cat', 'x.npz') == root / 'cat/x.npz'
  assert inside(root, 'cat/own/cat/x.npz').name == 'x.npz'
  for names in (
    ('..', 'secret'),
    ('cat/../../secret',),
    ('/etc', 'passwd'),
    ('link', 'secret'),
  ):
    with pytest.raises(OutsideError, match='leads out of'):
      inside(root, *names)
  (root / 'loop').symlink_to(root / 'loop')
  for name in ('loop', 'a\0b'):
    with pytest.raises(OutsideError, match='is not a valid path'):
      inside(root, name)
