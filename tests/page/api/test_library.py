"""Facts of the files: from the manifest, and from opening them."""

import asyncio
import os
import pathlib
import shutil

import pytest

from avl_jax.errors import UserError
from avl_jax.features import (
  MediaError,
  RefusedError,
  TimedOutError,
  UnexpectedError,
)
from avl_jax.page import manifest, playback
from avl_jax.page.errors import BusyError
from avl_jax.page.library import Library
from avl_jax.page.playback import Playback
from tests.page.api.conftest import update

VIDEO = {
  'format': 'mov,mp4,m4a,3gp,3g2,mj2',
  'video': 'h264',
  'audio': 'aac',
  'pixels': 'yuv420p',
}


def test_what_a_manifest_says(tmp_path, capsys):
  """Dates that are none are not used; the log says so."""
  path = tmp_path / 'manifest.csv'
  path.write_text('path,language,date\na.mp4,fr,12/05/2020\nb.mp4,,2020-02-30')
  assert manifest.read(path) == {'a.mp4': ('fr', ''), 'b.mp4': ('', '')}
  assert "2 dates are not used, such as '12/05/2020'" in capsys.readouterr().out
  path.write_text('file,date\na.mp4,2020')
  with pytest.raises(ValueError, match='no column path'):
    manifest.read(path)


@pytest.fixture
def files(copied):
  """The files of a copy of the index."""
  media_dir, index = copied()
  return Library(index, media_dir)


def test_one_content_of_two_kinds_has_two_ids(run, copied):
  media_dir, index = copied()
  before = Library(index, media_dir).by_path['sub/new.mp4'].id
  shutil.copy(media_dir / 'sub/new.mp4', media_dir / 'heard.mp3')
  update(run, media_dir, index)
  found = Library(index, media_dir)
  video, sound = found.by_path['sub/new.mp4'], found.by_path['heard.mp3']
  assert video.file.content == sound.file.content
  assert (video.id, video.kind) == (before, 'video')
  assert found.find(video.id) is video
  assert found.find(sound.id) is sound
  assert sound.kind == 'sound'


def _language(files):
  files.refresh(now=True)
  return files.by_path['old.avi'].language


@pytest.mark.parametrize('name', ['open', 'stat'])
def test_a_manifest_that_cannot_be_read_is_tried_again(
  files, monkeypatch, capsys, name
):
  """It is complained of once, and its time need not change."""
  path = files.media_dir / 'manifest.csv'
  path.write_text('path,language\nold.avi,es')
  real = getattr(pathlib.Path, name)

  def refuse(self, *arguments, **options):
    if self == path:
      raise PermissionError(13, 'Permission denied', str(path))
    return real(self, *arguments, **options)

  with monkeypatch.context() as patch:
    patch.setattr(pathlib.Path, name, refuse)
    assert [_language(files) for _ in range(3)] == ['', '', '']
  said = capsys.readouterr().out
  assert said.count('manifest.csv cannot be read') == 1
  assert 'Permission denied' in said
  assert files.by_path['old.avi'].date.count('-') == 2
  assert _language(files) == 'es'
  # The same fault of another state is told.
  for text in ('name\nx', 'name\nother', 'name\nother'):
    path.write_text(text)
    os.utime(path, ns=(0, len(text)))
    assert _language(files) == ''
  assert capsys.readouterr().out.count('It has no column path. Expected') >= 2
  path.write_text('path,language\nold.avi,fr')
  assert _language(files) == 'fr'
  path.unlink()
  assert _language(files) == ''
  assert capsys.readouterr().out == ''


class _Workers:
  """Raises errors, then says what a file has."""

  def __init__(self, *errors):
    self._errors, self.count = list(errors), 0

  async def run(self, _):
    self.count += 1
    if self._errors:
      raise self._errors.pop(0)
    return VIDEO


def _with_cause(error, cause):
  error.__cause__ = cause
  return error


def _asked(workers, files, times=3):
  plays_, item = Playback(workers, files), files.by_path['old.avi']

  async def ask():
    return [(await plays_(item))['plays'] for _ in range(times)]

  return asyncio.run(ask())


@pytest.mark.parametrize(
  'error',
  [
    TimedOutError('Decoding takes too long.'),
    UnexpectedError('The process has ended.'),
    UnexpectedError('Reading it fails (OSError: [Errno 5]).'),
    UserError('The child process does not start.'),
    OSError(24, 'Too many open files'),
    _with_cause(MediaError('old.avi: Errno 13.'), PermissionError(13, 'no')),
  ],
)
def test_a_passing_fault_passes(files, monkeypatch, capsys, error):
  """Not at once, since a file may always take too long."""
  workers = _Workers(error)
  assert _asked(workers, files) == ['stills'] * 3
  assert workers.count == 1
  assert f'stills for now: {error}' in capsys.readouterr().out
  monkeypatch.setattr(playback, '_PAUSE', -1.0)
  assert _asked(_Workers(error), files) == ['stills', 'native', 'native']


def test_who_waits_for_others_is_asked_again(files):
  workers = _Workers(BusyError(9))
  assert _asked(workers, files) == ['transcoded', 'native', 'native']
  assert workers.count == 2


@pytest.mark.parametrize(
  'error', [MediaError('It is damaged.'), RefusedError('No such format.')]
)
def test_what_a_file_says_is_remembered(files, monkeypatch, error):
  """Until the file has changed."""
  monkeypatch.setattr(playback, '_PAUSE', -1.0)
  workers = _Workers(error)
  known, item = Playback(workers, files), files.by_path['old.avi']

  async def ask():
    found = [(await known(item))['plays'] for _ in range(3)]
    os.utime(files.media_dir / 'old.avi', ns=(0, 0))
    return [*found, (await known(item))['plays']]

  assert asyncio.run(ask()) == ['stills'] * 3 + ['native']
  assert workers.count == 2
