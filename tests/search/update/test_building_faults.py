"""Broken files, files that change meanwhile, signals, crashes, full disks."""

import errno
import os
import signal

import pytest

from avl_jax.errors import Interrupted, UserError
from avl_jax.extraction import media_folder
from avl_jax.features import TimedOutError, UnexpectedError
from avl_jax.search.store import shards
from avl_jax.search.store.index import Index
from avl_jax.search.update.window_vectors import WindowVectors
from tests.helpers import media, own_folder, small_run
from tests.helpers.search.contents import KINDS, assert_same, contents


@pytest.fixture
def extracting(monkeypatch):
  """extracting(act): calls act(path) whenever a video is extracted."""

  def wrap(act):
    extract = small_run.Extractor.__call__

    def wrapped(self, path, *args):
      act(path)
      return extract(self, path, *args)

    monkeypatch.setattr(small_run.Extractor, '__call__', wrapped)

  return wrap


def test_files_that_cannot_be_used(make_index, media_dir, index_dir, capsys):
  """They have a line each, and are not tried again until they change."""
  whole = (media_dir / 'long.mp4').read_bytes()
  (media_dir / 'cut.mp4').write_bytes(whole[: len(whole) // 2])
  (media_dir / 'empty.wav').write_bytes(b'')
  (media_dir / 'page.png').write_text('<html>')
  (media_dir / 'list.mp3').write_text('#EXTM3U\n/etc/passwd\n')
  (media_dir / 'gone.mp4').symlink_to(media_dir / 'nothing')
  (media_dir / 'out.mp4').symlink_to('/etc/passwd')
  media.write(media_dir / 'new.mp4', own_folder.tone(9, 3), seconds=3)
  own_folder.age(media_dir)
  (media_dir / 'notes.txt').write_text('no media')
  # The sound of cut.mp4 is read first.
  assert make_index(media_dir, index_dir) == ['new.mp4']
  counts = '6 files cannot be used: 4 unreadable, 1 unsafe name, 1 missing.'
  printed = capsys.readouterr()
  assert counts in printed.out
  assert 'missing: gone.mp4: The link leads nowhere.' in printed.out
  assert '4 unreadable' in printed.err
  with Index.open(index_dir) as index:
    remarks = {file.path: file.remarks for file in index.files()}
  assert remarks['empty.wav'] == ('unreadable', 'The file has 0 bytes.')
  assert remarks['page.png'][0] == remarks['cut.mp4'][0] == 'unreadable'
  assert 'notes.txt' not in remarks
  assert 'gone.mp4' not in remarks
  assert make_index(media_dir, index_dir) == []
  assert counts in capsys.readouterr().out
  media.write(media_dir / 'cut.mp4', own_folder.tone(8, 4), seconds=4)
  assert make_index(media_dir, index_dir) == ['cut.mp4']
  assert contents(index_dir)['cut.mp4'][1] == [(0, 4)]


def test_what_may_be_an_accident_is_tried_again(
  make_index, media_dir, index_dir, extracting
):
  errors = {'a.mp4': TimedOutError('Slow.'), 'mute.mp4': UnexpectedError('?')}

  def fail(path):
    if error := errors.pop(path.name, None):
      raise error

  for seconds, name in enumerate(errors, 3):
    media.write(media_dir / name, own_folder.tone(9, seconds), seconds=seconds)
  extracting(fail)
  make_index(media_dir, index_dir)
  assert contents(index_dir).keys() == {*KINDS} - {'a.mp4', 'mute.mp4'}
  assert make_index(media_dir, index_dir) == ['a.mp4', 'mute.mp4']
  assert contents(index_dir)['a.mp4'][1] == [(0, 3)]


def test_damaged_vectors_are_made_again(
  make_index, good_media, index_dir, capsys
):
  before = contents(index_dir)
  (shard,) = index_dir.glob('video.*')
  data = bytearray(shard.read_bytes())
  data[-5] ^= 1
  shard.write_bytes(data)
  with Index.open(index_dir) as index:
    (damage,) = index.check()
    (path,) = (f.path for f in index.files() if f.path in damage)
  assert make_index(good_media, index_dir) == []
  assert f'The vectors of {path} are damaged.' in capsys.readouterr().out
  found = contents(index_dir)
  assert found.keys() == before.keys()
  for path, expected in before.items():
    assert_same(([], *found[path][1:]), ([], *expected[1:]))


def test_what_cannot_be_read_for_now_stays(
  make_index, media_dir, index_dir, monkeypatch, capsys
):
  """Another file that has gone does not."""
  before = contents(index_dir)
  os.utime(media_dir / 'long.mp4', (1e9, 1e9))
  (media_dir / 'sound.flac').unlink()

  def fail(path):
    raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

  with monkeypatch.context() as patch:
    patch.setattr(media_folder, 'digest', fail)
    make_index(media_dir, index_dir)
  assert 'unreadable: long.mp4: Input/output error.' in capsys.readouterr().out
  found = contents(index_dir)
  assert found.keys() == {*KINDS} - {'sound.flac'}
  assert_same(found['long.mp4'], before['long.mp4'])
  assert make_index(media_dir, index_dir) == []


def test_no_file_can_be_used(make_index, tmp_path):
  (tmp_path / 'media').mkdir()
  (tmp_path / 'media/a.png').write_bytes(b'no picture')
  with pytest.raises(UserError, match='None of the files'):
    make_index(tmp_path / 'media', tmp_path / 'index')


def test_files_that_change_while_they_are_read(
  make_index, media_dir, index_dir, extracting, capsys
):
  def act(path):
    if path.name == 'deleted.mp4':
      path.unlink()
    else:
      os.utime(path)

  for seconds, name in enumerate(('deleted', 'changed'), 3):
    media.write(media_dir / f'{name}.mp4', None, seconds=seconds)
  extracting(act)
  make_index(media_dir, index_dir)
  printed = capsys.readouterr().out
  for name in ('deleted', 'changed'):
    assert f'unreadable: {name}.mp4: The file has changed or gone' in printed
  assert contents(index_dir).keys() == KINDS.keys()
  # What was extracted may be of either content.
  assert len(list((index_dir / 'extracted').rglob('*.npz'))) == len(KINDS)


@pytest.mark.parametrize(
  'number',
  [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)],
)
def test_a_signal_ends_it_and_it_goes_on(
  number, make_index, good_media, good_index, tmp_path, extracting
):
  """The signal comes while the second video is read."""
  handler, calls = signal.getsignal(number), []

  def act(path):
    calls.append(path.name)
    if len(calls) == 2:
      os.kill(os.getpid(), number)

  extracting(act)
  with pytest.raises(Interrupted, match='Run the same command to resume'):
    make_index(good_media, tmp_path / 'index')
  assert signal.getsignal(number) == handler
  # The first video may be extracted, and not yet in the index.
  assert contents(tmp_path / 'index').keys() < {*KINDS}
  again = make_index(good_media, tmp_path / 'index')
  assert calls[0] not in again
  found, expected = contents(tmp_path / 'index'), contents(good_index)
  assert found.keys() == expected.keys()
  for path in expected:
    assert_same(([], *found[path][1:]), ([], *expected[path][1:]))


def test_a_full_disk(make_index, good_media, fresh_dir, monkeypatch):
  append, calls = shards.append, []

  def fill(*args):
    calls.append(args)
    if len(calls) == 3:
      raise UserError(f'It cannot be written: {os.strerror(errno.ENOSPC)}.')
    append(*args)

  with monkeypatch.context() as patch:
    patch.setattr(shards, 'append', fill)
    with pytest.raises(UserError, match='No space left'):
      make_index(good_media, fresh_dir)
  assert len(contents(fresh_dir)) == 2
  assert make_index(good_media, fresh_dir) == []
  assert contents(fresh_dir).keys() == KINDS.keys()


def test_vectors_that_half_precision_cannot_hold(
  make_index, good_media, fresh_dir, monkeypatch, capsys
):
  """Their files are refused by name; the others are indexed."""
  embed = WindowVectors._embed
  monkeypatch.setattr(
    WindowVectors,
    '_embed',
    lambda self, name, *args: (
      embed(self, name, *args) * (1e9 if name == 'video' else 1)
    ),
  )
  make_index(good_media, fresh_dir, '--config.search.dtype=float16')
  printed = capsys.readouterr().out
  assert '5 files cannot be used: 5 refused.' in printed
  assert 'refused: a.mp4: Half precision cannot hold a vector' in printed
  found = contents(fresh_dir)
  assert len(found['sound.flac'][2]['audio']) == 3
  assert sum(len(rows) for rows, *_ in found.values()) == 3
