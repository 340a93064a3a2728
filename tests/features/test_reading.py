"""Errors of a file, and errors that are not the fault of the file."""

import errno

import av
import numpy as np
import pytest

from avl_jax.errors import Interrupted, UserError
from avl_jax.features import (
  MediaError,
  MissingError,
  NetworkError,
  SilentMediaError,
  UnexpectedError,
  UnsafeNameError,
  images,
  reading,
)
from avl_jax.files import OutsideError

SURPRISES = (
  *(RuntimeError, AttributeError, ValueError, MemoryError, RecursionError),
  *(AssertionError, StopIteration, KeyError),
)


@pytest.mark.parametrize(
  ('error', 'kind', 'words'),
  [
    *((kind('odd'), UnexpectedError, kind.__name__) for kind in SURPRISES),
    (av.error.InvalidDataError(1, 'odd', 'x'), UnexpectedError, 'odd'),
    (OSError(errno.EIO, 'odd'), MediaError, 'odd'),
    (PermissionError(errno.EACCES, 'odd'), MediaError, 'odd'),
    (FileNotFoundError(errno.ENOENT, 'odd'), MissingError, 'odd'),
  ],
)
def test_faults_of_a_file_name_it(error, kind, words):
  with (
    pytest.raises(MediaError, match=f'films/a.mp4: .*{words}') as caught,
    reading.guard('films/a.mp4'),
  ):
    raise error
  assert type(caught.value) is kind
  assert caught.value.__cause__ is error


def test_names_outside_of_the_folder():
  with pytest.raises(UnsafeNameError, match='It leads out'):  # noqa: SIM117
    with reading.guard('a.mp4'):
      raise OutsideError('It leads out.')


@pytest.mark.parametrize(
  'error',
  [
    SilentMediaError('It is silent.'),
    UserError('The cache cannot be written.'),
    OSError(errno.ENOSPC, 'full'),
    OSError(errno.EMFILE, 'too many'),
    NetworkError('It fails.'),
    KeyboardInterrupt(),
    SystemExit(1),
    Interrupted(15),
  ],
)
def test_others_pass(error):
  with pytest.raises(type(error)) as caught, reading.guard('films/a.mp4'):
    raise error
  assert caught.value is error
  notes = getattr(error, '__notes__', [])
  named = isinstance(error, NetworkError)
  assert notes == (['The file was films/a.mp4.'] if named else [])


def test_images_of_a_machine_without_files(monkeypatch):
  def fail(*_):
    raise OSError(errno.EMFILE, 'too many')

  monkeypatch.setattr(images.os.path, 'getsize', fail)
  with pytest.raises(OSError, match='too many') as caught:
    images.read_image('a.png')
  assert not isinstance(caught.value, MediaError)


def test_a_network_that_fails_is_told_from_a_file_that_does():
  def broken(batch):
    raise MemoryError(f'of {len(batch)}')

  def stream():
    yield np.zeros((4, 4, 3), np.uint8)
    raise RuntimeError('odd')

  with pytest.raises(NetworkError, match=r'\(2, 4, 4, 3\): MemoryError: of 2'):
    images.extract([np.zeros((4, 4, 3), np.uint8)], broken, 2)
  with pytest.raises(RuntimeError, match='odd'):
    images.extract(stream(), broken, 2)
