"""Own videos prepared on Apache Beam: as by one process, whatever happens.

Where Beam is not installed, most of these tests are skipped. They were run with
`pip install -e '.[test,beam]'`.
"""

import contextlib
import csv
import errno
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from array_record.python import array_record_module

import input_pipeline
from avl_jax.errors import UserError
from input_pipeline.datasets import beam_options
from input_pipeline.datasets.own_videos import splits, tables
from input_pipeline.records import reader
from tests.helpers import own_folder

NAME = 'own_videos/untrimmed'
PROCESSES = (
  '--runner=DirectRunner --direct_num_workers=2 '
  '--direct_running_mode=multi_processing'
)


class Extractor(own_folder.Extractor):
  """Notes in a folder which process extracts which file; may end it."""

  def __init__(self, notes: pathlib.Path, fatal: str = ''):
    super().__init__()
    self.notes, self.fatal = notes, fatal
    notes.mkdir(exist_ok=True)

  def __call__(self, path, *arguments):
    with (self.notes / str(os.getpid())).open('a') as file:
      file.write(f'{path}\n')
    if path.name == self.fatal:
      others = [p for p in self.notes.iterdir() if p.name != str(os.getpid())]
      if others:  # Both workers are at work.
        os.kill(os.getpid(), signal.SIGKILL)
      time.sleep(1)
      return self(path, *arguments)
    return super().__call__(path, *arguments)

  def paths(self) -> list[str]:
    """The files that were extracted, by any process."""
    found = [p.read_text().splitlines() for p in self.notes.iterdir()]
    return [path for paths in found for path in paths]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp('own') / 'media'
  own_folder.write_good(root)
  own_folder.write_bad(root)
  (root / 'captions.csv').write_text(
    'id,start,end,caption\nlong.mp4,1,2,one\nlong.mp4,12,14,two\n'
    'a.mp4,0,1,été\n'
  )
  return root


@pytest.fixture(scope='module')
def local(root, tmp_path_factory):
  data_dir = tmp_path_factory.mktemp('local')
  own_folder.prepare(root, data_dir)
  return data_dir


@contextlib.contextmanager
def _pool():
  """Runs a pool of workers, as on another machine; yields Beam's options."""
  with socket.socket() as taken:
    taken.bind(('localhost', 0))
    port = taken.getsockname()[1]
  # The pool starts its workers as `python`.
  path = (
    f'{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
  )
  module = 'apache_beam.runners.worker.worker_pool_main'
  command = [sys.executable, '-m', module, f'--service_port={port}']
  with subprocess.Popen(command, env=os.environ | {'PATH': path}) as process:
    try:
      while True:
        with contextlib.suppress(OSError):
          socket.create_connection(('localhost', port)).close()
          break
        assert process.poll() is None
        time.sleep(0.1)
      yield (
        '--runner=PortableRunner --job_endpoint=embed '
        f'--environment_type=EXTERNAL --environment_config=localhost:{port}'
      )
    finally:
      process.send_signal(signal.SIGINT)


def _same_as(local, data_dir):
  """Compares records, tables and the cache with those of one process."""
  one, other = (
    reader.Records((NAME,), splits.NAMES, str(folder))
    for folder in (local, data_dir)
  )
  assert one.fingerprint == other.fingerprint
  assert len(one) >= len(own_folder.GOOD)  # They are in the same order, too.
  np.testing.assert_equal(
    [*other.read(range(len(other)))], [*one.read(range(len(one)))]
  )
  folders = [own_folder.records(folder) for folder in (local, data_dir)]
  assert folders[0].name == folders[1].name
  for name in (tables.FILES, tables.AVAILABILITY, 'networks.json'):
    texts = [(folder / name).read_text() for folder in folders]
    assert texts[0] == texts[1]
  assert _statuses(data_dir) == (
    dict.fromkeys(own_folder.GOOD, 'ok') | own_folder.BAD
  )
  shards = list(folders[1].glob('*array_record*'))
  assert len(shards) >= len(splits.NAMES)
  for shard in shards:
    options = array_record_module.ArrayRecordReader(str(shard))
    assert 'uncompressed' in options.writer_options_string()


def _statuses(data_dir):
  path = own_folder.records(data_dir) / tables.FILES
  with path.open(newline='', encoding='utf-8') as file:
    return {row['path']: row['status'] for row in csv.DictReader(file)}


@pytest.mark.slow
def test_processes_of_the_direct_runner(root, local, tmp_path, capsys):
  pytest.importorskip('apache_beam', reason='extra `beam` is not installed')
  extractor = Extractor(tmp_path / 'notes')
  own_folder.prepare(root, tmp_path / 'beam', extractor, beam=PROCESSES)
  _same_as(local, tmp_path / 'beam')
  workers = {path.name for path in extractor.notes.iterdir()}
  assert len(workers) == 2
  assert str(os.getpid()) not in workers
  assert 'hours of video an hour' in capsys.readouterr().out
  # Nothing is extracted again, whoever does it.
  done = extractor.paths()
  own_folder.prepare(root, tmp_path / 'beam', extractor, beam=PROCESSES)
  own_folder.prepare(root, tmp_path / 'beam', extractor)
  assert extractor.paths() == done
  assert 'up to date' in capsys.readouterr().out


@pytest.mark.slow
def test_a_pool_of_workers_of_the_portable_runner(root, local, tmp_path):
  pytest.importorskip('apache_beam', reason='extra `beam` is not installed')
  extractor = Extractor(tmp_path / 'notes')
  with _pool() as options:
    own_folder.prepare(root, tmp_path / 'beam', extractor, beam=options)
  _same_as(local, tmp_path / 'beam')
  workers = {path.name for path in extractor.notes.iterdir()}
  assert len(workers) == 1  # The embedded job server asks for no more.
  assert str(os.getpid()) not in workers


@pytest.mark.slow
@pytest.mark.filterwarnings(
  'ignore::pytest.PytestUnhandledThreadExceptionWarning'
)
def test_a_worker_that_is_killed_costs_the_files_in_hand(root, local, tmp_path):
  pytest.importorskip('apache_beam', reason='extra `beam` is not installed')
  first = Extractor(tmp_path / 'first', fatal='long.mp4')
  with pytest.raises(UserError, match='run the same command again'):
    own_folder.prepare(root, tmp_path / 'beam', first, beam=PROCESSES)
  second = Extractor(tmp_path / 'second')
  own_folder.prepare(root, tmp_path / 'beam', second, beam=PROCESSES)
  again = {*first.paths()} & {*second.paths()}
  assert str(root / 'long.mp4') in again
  assert len(again) <= 2  # one for each worker
  _same_as(local, tmp_path / 'beam')


def test_without_beam_the_message_names_the_command(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, 'apache_beam', None)
  monkeypatch.setitem(sys.modules, 'apache_beam.options', None)
  with pytest.raises(UserError, match=r"pip install '\.\[beam\]'"):
    input_pipeline.prepare(
      datasets=(NAME,), data_dir=str(tmp_path), media_dir='x', beam=PROCESSES
    )


def test_other_data_sets_are_refused(tmp_path):
  with pytest.raises(UserError, match='is not prepared on Apache Beam'):
    input_pipeline.prepare(
      datasets=('stamps/human_fr',), data_dir=str(tmp_path), beam=PROCESSES
    )


def test_what_a_runner_raises_is_told_in_a_sentence():
  with (
    pytest.raises(UserError, match=r'^own: .* failed: B: why\. What was'),
    beam_options.explained('own'),
  ):
    raise RuntimeError('Traceback\n  File x\nB: why.\n')
  # Our caller knows a full disk by this text.
  full = os.strerror(errno.ENOSPC)
  with pytest.raises(RuntimeError, match=full), beam_options.explained('own'):
    raise RuntimeError(f'Traceback\nOSError: {full}')


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('--runner=DaskRunner', 'it would lose videos'),
    ('--runner=dask', 'it would lose videos'),
    ('--runner=apache_beam.runners.dask.DaskRunner', 'it would lose videos'),
    ('--direct_num_workers=2', 'no --runner'),
    ("--runner='DirectRunner", 'No closing quotation'),
  ],
)
def test_options_that_are_refused(text, message):
  pytest.importorskip('apache_beam', reason='extra `beam` is not installed')
  with pytest.raises(UserError, match=message):
    beam_options.read(text)


def test_the_direct_runner_is_no_download():
  pytest.importorskip('apache_beam', reason='extra `beam` is not installed')
  runner, options = beam_options.read(PROCESSES)
  assert type(runner).__name__ == 'FnApiRunner'  # Not Prism.
  assert options.get_all_options()['direct_num_workers'] == 2
  runner, options = beam_options.read('--runner=FlinkRunner')
  assert runner is None
  assert options.get_all_options()['runner'] == 'FlinkRunner'


def test_a_runner_that_loses_files_is_noticed():
  pytest.importorskip('apache_beam', reason='extra `beam` is not installed')
  from input_pipeline.datasets.own_videos import on_beam

  lines = [tables.Line(item=on_beam.Item(id=name, path=name)) for name in 'ab']
  with pytest.raises(UserError, match='returned 1 of 2 files'):
    on_beam._set('own', lines, ['[1, "ok", "", 3.0]'])
  on_beam._set('own', lines, ['[1, "silent", "", 0.0]', '[0, "ok", "", 3.0]'])
  assert [line.seconds for line in lines] == [3.0, 0.0]
  assert [line.status for line in lines] == ['ok', 'silent']
