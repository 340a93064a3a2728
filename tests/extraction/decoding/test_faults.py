"""Decoders that crash, hang, or serve an attacker: one file is lost, no more.

The fakes are in `tests/helpers/fake_decoders.py`.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from avl_jax.errors import UserError
from avl_jax.extraction.decoding import process as decoding_process
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.features import (
  MediaError,
  RefusedError,
  TimedOutError,
  UnexpectedError,
)
from tests.helpers import fake_decoders

LIMITS = Limits(
  memory=2**28,
  wall_seconds=3,
  stall_seconds=2,
  processor_seconds=1,
)
FORBIDDEN = {*('read', 'write', 'create', 'remove', 'list', 'stat', 'connect')}
FORBIDDEN |= {*('send', 'pair', 'fork', 'run', 'signal', 'memory')}


@pytest.fixture(autouse=True, scope='module')
def fakes():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(decoding_process, '_MODULE', fake_decoders.__name__)
    yield


@pytest.fixture(scope='module')
def decoder():
  with Decoder(LIMITS) as decoder:
    yield decoder


def use(decoder, path, content='film'):
  """The first values of the frames that a fake makes of a file."""
  path.write_text(content)

  def values(media):
    return [int(frame[0, 0, 0]) for frame in media.frames(1, 8, True, 0, 60)]

  return decoder.run(path, values)


def pid_of(decoder):
  return decoder._child and decoder._child.pid


def is_running(pid):
  """Whether a process runs; one that has ended may not be waited for yet."""
  try:
    status = pathlib.Path(f'/proc/{pid}/stat').read_text()
  except OSError:
    return False
  return status.rpartition(')')[2].split()[0] not in 'ZX'


def until(condition):
  """Waits until a condition holds."""
  for _ in range(3000):
    if condition():
      return
    time.sleep(0.01)
  raise AssertionError('This has not become true within half a minute.')


@pytest.mark.parametrize(
  ('fake', 'error', 'message'),
  [
    ('segfault', UnexpectedError, 'SIGSEGV'),
    pytest.param('abort', UnexpectedError, 'SIGABRT', marks=pytest.mark.slow),
    ('exit', UnexpectedError, 'exit code 3'),
    ('hang', TimedOutError, 'sign of life every 2 s'),
    ('spin', TimedOutError, r'at most 3 s, 1 s of processor time'),
    pytest.param('slow', TimedOutError, 'at most 3 s', marks=pytest.mark.slow),
    ('eat', RefusedError, r'more than 0\.2 GiB of memory'),
    ('garbage', UnexpectedError, 'a header of 4294967295 bytes'),
    ('deep', UnexpectedError, 'no JSON object'),
    ('huge', UnexpectedError, r'pictures 1000000000 x'),
    pytest.param(
      'lines', TimedOutError, 'takes too long', marks=pytest.mark.slow
    ),
    ('endless', RefusedError, 'lasts longer than it says'),
    ('status', UnexpectedError, r"^\{'x': '\\x1b\[2J'\}$"),
  ],
)
def test_a_bad_file_is_one_line(
  decoder, tmp_path, capsys, fake, error, message
):
  with pytest.raises(error, match=message) as caught:
    use(decoder, tmp_path / f'{fake}.mp4')
  assert caught.type is error
  assert '\x1b' not in capsys.readouterr().err
  # The rest goes on.
  assert use(decoder, tmp_path / 'good.mp4') == list(range(20))


def test_nothing_can_be_opened(decoder, tmp_path):
  """The same attempts succeed in a process that is not locked in."""
  target = tmp_path / 'target'
  old = pathlib.Path(f'{target}.old')
  with socket.create_server(('127.0.0.1', 0)) as server:
    port = server.getsockname()[1]
    content = json.dumps({'path': str(target), 'port': port})
    target.write_text('secret')
    old.touch()
    with pytest.raises(MediaError, match='RuntimeError') as caught:
      use(decoder, tmp_path / 'attempt.mp4', content)
    found = json.loads(str(caught.value).partition('RuntimeError: ')[2][:-2])
    assert found == dict.fromkeys(FORBIDDEN, 'PermissionError')
    assert old.exists()
    assert not pathlib.Path(f'{target}.new').exists()
    code = (
      'import json, sys; from tests.helpers import fake_decoders as fakes; '
      f'print(json.dumps(fakes.attempts({str(target)!r}, {port})))'
    )
    free = subprocess.run(
      [sys.executable, '-c', code], capture_output=True, check=True
    )
    assert json.loads(free.stdout) == dict.fromkeys(FORBIDDEN, 'done')
  assert use(decoder, tmp_path / 'good.mp4') == list(range(20))


def test_without_a_filter_of_calls(tmp_path, monkeypatch, capsys):
  """As on macOS: no descriptor is left, and the whole group is killed."""
  module = 'tests.helpers.unfiltered_decoders'
  monkeypatch.setattr(decoding_process, '_MODULE', module)
  with Decoder(LIMITS) as decoder:
    content = json.dumps({'path': __file__})
    with pytest.raises(MediaError, match='Too many open files'):
      use(decoder, tmp_path / 'open.mp4', content)
    said = capsys.readouterr().out
    assert 'cannot limit in opening of files and connections.' in said
    with pytest.raises(TimedOutError):
      use(decoder, tmp_path / 'group.mp4')
    (line,) = capsys.readouterr().err.splitlines()
    until(lambda: not is_running(int(line.removeprefix('pid '))))


def test_one_child_for_many_files(decoder, tmp_path):
  use(decoder, tmp_path / 'good.mp4')
  pid, opened = pid_of(decoder), len(os.listdir('/proc/self/fd'))
  for i in range(50):
    assert use(decoder, tmp_path / f'good {i}.mp4') == list(range(20))
  assert pid_of(decoder) == pid
  assert len(os.listdir('/proc/self/fd')) == opened
  folder = f'/proc/{pid}/fd'
  until(lambda: sorted(os.listdir(folder)) == ['0', '1', '2'])
  # A file that is not read to its end costs the child, not the next file.
  with decoder.open(tmp_path / 'good.mp4') as media:
    assert next(media.frames(1, 512, True)).shape == (512, 512, 3)
    with pytest.raises(RuntimeError, match='not at its end'):
      media.waveform()
  with pytest.raises(RuntimeError, match='is closed'):
    media.waveform()
  assert use(decoder, tmp_path / 'good.mp4') == list(range(20))
  assert pid_of(decoder) != pid
  assert len(os.listdir('/proc/self/fd')) == opened
  # Nor does a child that is killed between files.
  os.kill(pid_of(decoder), signal.SIGKILL)
  until(lambda: not is_running(pid_of(decoder)))
  assert use(decoder, tmp_path / 'good.mp4') == list(range(20))
  pid = pid_of(decoder)
  decoder.close()
  assert not is_running(pid)


def test_a_new_child_after_some_files(tmp_path):
  with Decoder(Limits(files=2)) as decoder:
    pids = []
    for i in range(4):
      (tmp_path / f'good{i}.mp4').write_text('film')
      with decoder.open(tmp_path / f'good{i}.mp4'):
        pids.append(pid_of(decoder))
  assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_second_chance(decoder, tmp_path):
  """A file that crashes only after another one is not to blame."""
  assert use(decoder, tmp_path / 'poison.mp4') == [0]
  pid = pid_of(decoder)
  assert use(decoder, tmp_path / 'good.mp4') == list(range(20))
  assert pid_of(decoder) != pid


def test_samples_that_are_none(decoder, tmp_path):
  (tmp_path / 'good.mp4').write_text('film')
  with (
    decoder.open(tmp_path / 'good.mp4') as media,
    pytest.raises(MediaError, match='not finite'),
  ):
    media.waveform()


def test_warnings_of_the_child(decoder, tmp_path, capsys):
  assert use(decoder, tmp_path / 'warn.mp4') == [0]
  said = capsys.readouterr().err
  assert f'{tmp_path}/warn.mp4: Reading goes on.?[2J' in said


def test_the_child_ends_with_its_parent(tmp_path):
  code = (
    'import sys; from avl_jax.extraction.decoding import decoder, process\n'
    f'process._MODULE = {fake_decoders.__name__!r}\n'
    'with decoder.Decoder() as decoder, decoder.open(sys.argv[1]) as media:\n'
    '  list(media.frames(1, 8, True))\n'
  )
  path = tmp_path / 'hang.mp4'
  path.write_text('film')
  parent = subprocess.Popen(
    [sys.executable, '-c', code, str(path)], stderr=subprocess.PIPE, text=True
  )
  assert parent.stderr is not None
  pid = int(parent.stderr.readline().removeprefix('pid '))
  assert is_running(pid)
  parent.kill()
  parent.wait()
  parent.stderr.close()
  until(lambda: not is_running(pid))


def test_a_child_that_does_not_start(tmp_path, monkeypatch):
  monkeypatch.setattr(decoding_process, '_MODULE', 'tests.helpers.nothing')
  (tmp_path / 'film.mp4').write_text('film')
  decoder = Decoder()
  with (
    pytest.raises(UserError, match=r'does not start \(exit code 1\)') as caught,
    decoder.open(tmp_path / 'film.mp4'),
  ):
    pass
  assert not isinstance(caught.value, MediaError)
