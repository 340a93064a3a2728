"""Preparations of own videos that are disturbed, and hostile names."""

import csv
import errno
import os
import pathlib
import shutil

import pytest

import input_pipeline
from avl_jax.errors import UserError
from avl_jax.features import TimedOutError
from avl_jax.files import Lock
from input_pipeline.datasets.own_videos import builder, preparation, survey
from input_pipeline.datasets.own_videos.digests import Digests
from input_pipeline.datasets.own_videos.manifest import Item
from input_pipeline.records import reader
from tests.helpers import own_folder

NAME = 'own_videos/untrimmed'


class Killed(BaseException):
  """Ends the process, as far as any code can see."""


@pytest.fixture(scope='module')
def good(tmp_path_factory):
  root = tmp_path_factory.mktemp('own')
  own_folder.write_good(root)
  own_folder.age(root)
  return root


@pytest.fixture
def root(good, tmp_path):
  return shutil.copytree(good, tmp_path / 'media')


def _table(data_dir):
  path = own_folder.records(data_dir) / 'files.csv'
  with path.open(newline='', encoding='utf-8') as file:
    return {row['path']: row for row in csv.DictReader(file)}


def test_a_killed_extraction_goes_on_where_it_stopped(root, tmp_path):
  extractor = own_folder.Extractor({'long.mp4': Killed()})
  with pytest.raises(Killed):
    own_folder.prepare(root, tmp_path / 'data', extractor)
  *done, killed = extractor.calls
  assert done
  assert killed == 'long.mp4'
  again = own_folder.prepare(root, tmp_path / 'data').calls
  assert len(again) == len(own_folder.GOOD) - len(done)
  assert again[0] == killed
  assert {r['status'] for r in _table(tmp_path / 'data').values()} == {'ok'}


def test_killed_while_writing_keeps_the_old_records(
  root, tmp_path, monkeypatch
):
  data_dir = tmp_path / 'data'
  own_folder.prepare(root, data_dir)
  old = own_folder.records(data_dir)
  before = sorted(path.name for path in old.iterdir())
  (root / 'a.mp4').rename(root / 'b.mp4')

  def die(*_):
    raise Killed

  with monkeypatch.context() as patch:
    patch.setattr(builder.tables, 'write', die)
    with pytest.raises(Killed):
      own_folder.prepare(root, data_dir)
  assert sorted(path.name for path in old.iterdir()) == before
  assert len(reader.Records((NAME,), ('train',), str(data_dir))) == 3
  assert not own_folder.prepare(root, data_dir).calls
  assert 'b.mp4' in _table(data_dir)  # And no other folder is left.


def test_killed_before_the_old_records_are_deleted(root, tmp_path, monkeypatch):
  data_dir = tmp_path / 'data'
  own_folder.prepare(root, data_dir)
  (root / 'a.mp4').rename(root / 'b.mp4')

  def die(*_):
    raise Killed

  with monkeypatch.context() as patch:
    patch.setattr('shutil.rmtree', die)
    with pytest.raises(Killed):
      own_folder.prepare(root, data_dir)
  own_folder.prepare(root, data_dir)
  assert 'b.mp4' in _table(data_dir)


def test_a_full_disk_ends_the_work_and_names_no_file_unreadable(
  root, tmp_path, monkeypatch
):
  write = pathlib.Path.write_bytes

  def full(path, content):
    if path.name.endswith('.npz.tmp'):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return write(path, content)

  with monkeypatch.context() as patch:
    patch.setattr(pathlib.Path, 'write_bytes', full)
    with pytest.raises(UserError, match='No space left'):
      own_folder.prepare(root, tmp_path / 'data')
  own_folder.prepare(root, tmp_path / 'data')
  assert {r['status'] for r in _table(tmp_path / 'data').values()} == {'ok'}


def test_two_preparations_at_once(root, tmp_path, monkeypatch, capsys):
  lock = Lock(tmp_path / 'extracted/own_videos')
  waits = []

  def sleep(_):
    waits.append((tmp_path / 'own_videos').exists())
    if len(waits) == 3:
      lock.__exit__()

  monkeypatch.setattr(preparation.time, 'sleep', sleep)
  own_folder.prepare(root, tmp_path)
  assert waits == [False] * 3
  assert capsys.readouterr().out.count('Waiting for another preparation') == 1
  assert len(_table(tmp_path)) == len(own_folder.GOOD)


def test_surprises_are_lines_and_time_outs_are_tried_again(root, tmp_path):
  fails = {
    'a.mp4': RuntimeError('what nobody expected'),
    'a.mkv': TimedOutError('It took too long.'),
  }
  (root / 'sub/a.mp4').rename(root / 'other.mp4')
  own_folder.prepare(root, tmp_path, own_folder.Extractor(fails))
  table = _table(tmp_path)
  assert table['a.mp4']['status'] == 'unreadable'
  assert 'RuntimeError: what nobody expected' in table['a.mp4']['reason']
  assert table['a.mkv']['status'] == 'timed out'
  assert own_folder.prepare(root, tmp_path).calls == ['a.mkv', 'a.mp4']


def test_a_file_that_changes_while_it_is_read(root, tmp_path):
  class Changing(own_folder.Extractor):
    def __call__(self, path, *arguments):
      rows = super().__call__(path, *arguments)
      if path.name == 'long.mp4':
        os.utime(path, (1_800_000_000, 1_800_000_000))
      return rows

  own_folder.prepare(root, tmp_path, Changing())
  assert 'has changed meanwhile' in _table(tmp_path)['long.mp4']['reason']
  assert own_folder.prepare(root, tmp_path).calls == ['long.mp4']
  assert _table(tmp_path)['long.mp4']['status'] == 'ok'


def test_names_that_are_not_utf8(root, tmp_path, capsys):
  name = os.fsencode(root) + b'/caf\xe9, "x"\n.mp4'
  os.rename(root / 'long.mp4', name)
  own_folder.prepare(root, tmp_path)
  (path,) = [path for path in _table(tmp_path) if path.startswith('caf')]
  assert path == 'caf\\udce9, "x"\n.mp4'
  assert _table(tmp_path)[path]['status'] == 'ok'
  capsys.readouterr()
  own_folder.prepare(root, tmp_path)
  printed = capsys.readouterr().out
  assert 'up to date' in printed
  assert 'since the records were made' not in printed


def test_two_names_that_are_spelled_alike(tmp_path):
  items = [Item(id='x', path='one.mp4'), Item(id='x', path='two.mp4')]
  for number, item in enumerate(items):
    (tmp_path / item.path).write_bytes(bytes([number]))
  lines = survey.look(tmp_path, items, Digests(tmp_path / 'digests'), '')
  assert [line.status for line in lines] == ['ok', 'unsafe name']


def test_a_pipe_is_not_opened(tmp_path):
  os.mkfifo(tmp_path / 'pipe.mp4')
  items = survey.read_list(str(tmp_path))[1]
  (line,) = survey.look(tmp_path, items, Digests(tmp_path / 'digests'), '')
  assert line.status == 'unsafe name'


def test_digests_are_read_again_when_they_must_be(tmp_path):
  path, memory = tmp_path / 'file', tmp_path / 'digests.json'
  path.write_bytes(b'one')
  os.utime(path, (1_700_000_000, 1_700_000_000))
  digests = Digests(memory)
  first = digests(path)
  digests.save()
  path.write_bytes(b'two')  # Of the same size: only the time differs.
  assert Digests(memory)(path) != first
  os.utime(path, (1_700_000_000, 1_700_000_000))
  assert Digests(memory)(path) == first  # Remembered, so it was not read.
  memory.write_text('{"not')
  assert Digests(memory)(path) != first


def test_too_few_videos_say_what_became_of_the_others(root, tmp_path):
  for name in ('a.mkv', 'long.mp4', 'sub/a.mp4'):
    (root / name).write_bytes(b'')
  with pytest.raises(UserError, match=r'(?s)2 of these.*at least 3') as error:
    own_folder.prepare(root, tmp_path)
  assert 'unreadable: a.mkv: The file has 0 bytes.' in str(error.value)


def test_no_folder_is_named(tmp_path):
  with pytest.raises(UserError, match=r'prepare\.media_dir'):
    input_pipeline.prepare(datasets=(NAME,), data_dir=str(tmp_path))
  with pytest.raises(UserError, match=r'missing cannot be read.*resnet152'):
    input_pipeline.prepare(
      datasets=(NAME,),
      data_dir=str(tmp_path),
      media_dir=str(_some_folder(tmp_path)),
      resnet152=str(tmp_path / 'missing'),
    )


def _some_folder(tmp_path):
  (tmp_path / 'media').mkdir()
  (tmp_path / 'media' / 'a.mp4').write_bytes(b'x')
  return tmp_path / 'media'
