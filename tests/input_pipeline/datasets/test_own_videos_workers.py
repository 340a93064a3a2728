"""Own videos extracted by several workers: as by one, whatever happens."""

import csv
import itertools
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from input_pipeline.datasets.own_videos import splits
from input_pipeline.records import reader
from tests.helpers import own_folder

NAME = 'own_videos/untrimmed'


class Killed(BaseException):
  """Ends the process, as far as any code can see."""


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp('own') / 'media'
  own_folder.write_good(root)
  own_folder.write_bad(root)
  return root


def _table(data_dir):
  path = own_folder.records(data_dir) / 'files.csv'
  with path.open(newline='', encoding='utf-8') as file:
    return {row['path']: row for row in csv.DictReader(file)}


class _AtOnce(own_folder.Extractor):
  """Waits until two threads are here."""

  def __init__(self):
    super().__init__()
    self._together, self._number = threading.Barrier(2), itertools.count()

  def __call__(self, *arguments):
    if next(self._number) < 2:
      self._together.wait(timeout=60)
    return super().__call__(*arguments)


def test_the_records_do_not_depend_on_the_number(root, tmp_path, capsys):
  own_folder.prepare(root, tmp_path / 'one')
  capsys.readouterr()
  own_folder.prepare(root, tmp_path / 'three', _AtOnce(), workers=3)
  printed = capsys.readouterr()
  assert 'Of the time of 3 workers: ' in printed.out
  assert '1 no sound, 1 too short' in printed.err.replace('2 too', '1 too')
  assert 'hours of video an hour' in printed.err
  one, three = (
    {
      path.relative_to(own_folder.records(tmp_path / name)): path.read_bytes()
      for path in own_folder.records(tmp_path / name).iterdir()
      if path.name != 'dataset_info.json'  # It has the order of writing.
    }
    for name in ('one', 'three')
  )
  assert one == three
  data = [
    reader.Records((NAME,), splits.NAMES, str(tmp_path / name))
    for name in ('one', 'three')
  ]
  assert data[0].fingerprint == data[1].fingerprint
  caches = [
    {
      path.relative_to(tmp_path / name): dict(np.load(path))
      for path in (tmp_path / name / 'extracted').rglob('*.npz')
    }
    for name in ('one', 'three')
  ]
  assert len(caches[0]) > len(own_folder.GOOD)
  np.testing.assert_equal(caches[0], caches[1])


def test_a_child_that_is_killed_costs_its_file(root, tmp_path):
  class Deadly(own_folder.Extractor):
    def __call__(self, path, start, end, frames):
      if path.name == 'long.mp4':
        os.kill(frames.__self__._child.pid, signal.SIGKILL)
      return super().__call__(path, start, end, frames)

  own_folder.prepare(root, tmp_path, Deadly(), workers=2)
  table = _table(tmp_path)
  assert table['long.mp4']['status'] == 'unreadable'
  assert 'SIGKILL' in table['long.mp4']['reason']
  others = {path for path, row in table.items() if row['status'] == 'ok'}
  assert others == {*own_folder.GOOD} - {'long.mp4'}
  # It may have been the machine: it is tried again.
  assert own_folder.prepare(root, tmp_path).calls == ['long.mp4']
  assert _table(tmp_path)['long.mp4']['status'] == 'ok'


class _Paths(own_folder.Extractor):
  """Keeps the paths, because names are not unique."""

  def __init__(self, fails=()):
    super().__init__(fails)
    self.paths = set()

  def __call__(self, path, *arguments):
    self.paths.add(str(path))
    return super().__call__(path, *arguments)


@pytest.mark.slow
def test_a_process_that_is_killed_loses_the_files_in_its_hands(root, tmp_path):
  code = f"""
import sys, time
from tests.helpers import own_folder
class Slow(own_folder.Extractor):
  def __call__(self, path, *arguments):
    print('began', path, flush=True)
    features = super().__call__(path, *arguments)
    time.sleep(0.3)
    return features
own_folder.prepare({str(root)!r}, {str(tmp_path)!r}, Slow(), workers=2)
"""
  command = [sys.executable, '-c', code]
  with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
    assert process.stdout
    began = []
    for line in process.stdout:
      if line.startswith('began '):
        began.append(line.removeprefix('began ').strip())
      if len(began) == 4:
        process.kill()
  assert len(began) >= 4
  again = own_folder.prepare(root, tmp_path, _Paths(), workers=2).paths
  assert len({*began} & again) <= 2
  statuses = {path: row['status'] for path, row in _table(tmp_path).items()}
  assert statuses == dict.fromkeys(own_folder.GOOD, 'ok') | own_folder.BAD


def test_an_end_costs_the_files_in_the_workers_hands(root, tmp_path):
  first = _Paths({'long.mp4': Killed()})
  with pytest.raises(Killed):
    own_folder.prepare(root, tmp_path, first, workers=2)
  done = {*(tmp_path / 'extracted').rglob('*.json')}
  again = own_folder.prepare(root, tmp_path, _Paths(), workers=2)
  assert len(first.paths & again.paths) <= 2
  assert str(root / 'long.mp4') in first.paths & again.paths
  every = {*(tmp_path / 'extracted').rglob('*.json')}
  assert done < every
  statuses = {path: row['status'] for path, row in _table(tmp_path).items()}
  assert statuses == dict.fromkeys(own_folder.GOOD, 'ok') | own_folder.BAD


def test_a_piece_that_is_listed_twice_is_extracted_once(root, tmp_path):
  text = 'id,path,start,end,split\n' + ''.join(
    f'{name},long.mp4,{start},{start + 5},{split}\n'
    for name, start, split in (
      ('a', 0, 'train'),
      ('b', 0, 'train'),
      ('c', 5, 'train'),
    )
  )
  manifest = root / 'twice.csv'
  manifest.write_text(text)
  extractor = own_folder.Extractor()
  own_folder.prepare(manifest, tmp_path, extractor, 'clips', workers=3)
  assert len(extractor.calls) == 2
  data = reader.Records(('own_videos/clips',), ('train',), str(tmp_path))
  found = {e['id']: e['visual_2d'] for e in data.read(range(len(data)))}
  np.testing.assert_array_equal(found[b'a'], found[b'b'])
  assert not np.array_equal(found[b'a'], found[b'c'])
