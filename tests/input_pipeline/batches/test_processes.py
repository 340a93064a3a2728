"""Worker processes make the batches that threads make, and end when asked."""

import collections
import gc
import json
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import weakref

import numpy as np
import pytest
import tensorflow as tf

import input_pipeline
from avl_jax.errors import UserError
from avl_jax.features import tokenizer
from input_pipeline.batches import processes, train
from input_pipeline.batches.prefetch import prefetch
from input_pipeline.records.bad_records import BadRecordError
from input_pipeline.records.reader import Records
from input_pipeline.transforms.clip_sampler import ClipSampler
from tests.helpers import noise_dataset

SHARED = {}  # Starting a process takes seconds, so the tests share one.
NOISE = {
  'datasets': ('noise/faulty',),
  'split': 'train',
  'batch_size': 4,
  'clips_per_example': 2,
  'num_frames': 100,
  'augmentation': {},
  'distinct_groups': True,
  'seed': 5,
}
STAMPS = NOISE | {
  'datasets': ('stamps/narrated_fr',),
  'clips_per_example': 0,
  'num_frames': 80,
}
SOUND = {'speed': (0.9, 1.1), 'signal_to_noise': (10.0, 30.0), 'time_masks': 1}
CASES = {
  'bad_records': NOISE,
  'augmentation': NOISE | {'augmentation': SOUND},
  'masks': NOISE | {'spectrogram_augmentation': {'time_masks': 2}},
  'candidates': NOISE | {'clips_per_example': 6, 'candidates': 3},
  'permuted_sound': NOISE | {'permuted_sound': True},
  'second_host': NOISE | {'host': (1, 2)},
  'words': STAMPS,  # and word vectors
  'images': STAMPS | {'streams': ('image',)},
}


@pytest.fixture(scope='module', autouse=True)
def _ended():
  yield
  if SHARED:
    SHARED.pop('executor').shutdown()


@pytest.fixture
def executor(monkeypatch):
  """One process for all tests, whatever number they ask for."""
  if not SHARED:
    SHARED['executor'] = processes.start(1)
  monkeypatch.setattr(processes, 'start', lambda _: Lent(SHARED['executor']))
  return SHARED['executor']


class Lent:
  """An executor that goes on after its borrower."""

  def __init__(self, executor):
    self.submit = executor.submit

  def shutdown(self, **options):
    pass


@pytest.fixture
def opened(request, noise_records, tmp_path):
  """Opens the batches of a case."""

  def open_batches(case, **changes):
    options = CASES[case]
    data_dir = str(noise_records)
    if options['datasets'] == STAMPS['datasets']:
      data_dir = request.getfixturevalue('stamps_records')
    if case == 'words':
      vectors = _vectors(data_dir, tmp_path / 'words.vec')
      changes |= {'words': {'vectors': vectors, 'max_words': 3}}
    return input_pipeline.train_batches(**options | changes, data_dir=data_dir)

  return open_batches


def _vectors(data_dir, path):
  """Writes a file with a vector of each word of the captions."""
  captions = Records(STAMPS['datasets'], ('train',), data_dir).column(
    'captions'
  )
  words = {
    word for found in captions for word in tokenizer.tokenise(found[0].decode())
  }
  lines = [f'{word} {i} 1 {-i}\n' for i, word in enumerate(sorted(words))]
  path.write_text(f'{len(lines)} 3\n' + ''.join(lines))
  return str(path)


def _equal(batch, expected):
  assert batch.keys() == expected.keys()
  for key in batch:
    np.testing.assert_array_equal(batch[key], expected[key], strict=True)


@pytest.mark.parametrize('case', CASES)
def test_batches_are_those_of_threads(case, opened, executor, tmp_path):
  steps = 16 if case == 'bad_records' else 4  # An epoch has all records.
  plain = opened(case, bad_records_file=tmp_path / '0' / 'bad.json')
  expected = [plain.batch(step) for step in range(steps)]
  assert any(batch['spectrogram'].any() for batch in expected)
  for count in (1, 3):
    path = tmp_path / f'{count}' / 'bad.json'
    batches = opened(case, processes=count, bad_records_file=path)
    for step, batch in enumerate(batches.from_step(0, steps)):
      _equal(batch, expected[step])
    assert _lists(tmp_path / f'{count}') == _lists(tmp_path / '0')
  if case == 'bad_records':
    assert len(plain.bad_records) == len(noise_dataset.FAULTS)


def _lists(folder):
  """Name -> content of each list of bad records."""
  return {path.name: json.loads(path.read_text()) for path in folder.glob('*')}


def test_too_many_bad_records_are_counted_by_the_parent(opened, executor):
  batches = opened('bad_records', processes=2, max_bad_records=1)
  stream, seen = batches.from_step(0, 32), []
  with pytest.raises(input_pipeline.DataError, match='Found 2 bad records'):
    collections.deque(map(seen.append, stream))
  assert seen
  plain = opened('bad_records').from_step(0, len(seen))
  for batch, right in zip(seen, plain, strict=True):
    _equal(batch, right)


class Spoilt(ClipSampler):
  """Fails in a worker process, in the second epoch."""

  def training_clips(self, example, seed, epoch, index):
    if epoch and multiprocessing.parent_process():
      raise ZeroDivisionError('one of its own')
    return super().training_clips(example, seed, epoch, index)


def test_an_error_of_a_worker_is_raised_in_its_place(
  opened, executor, monkeypatch
):
  right = opened('bad_records')
  monkeypatch.setattr(train, 'ClipSampler', Spoilt)
  stream = opened('bad_records', processes=2).from_step(14, 20)
  seen = []
  with pytest.raises(ZeroDivisionError, match='one of its own'):
    collections.deque(map(seen.append, stream))
  assert len(seen) == 2  # of the first epoch
  for step, batch in enumerate(seen, 14):
    _equal(batch, right.batch(step))


def test_records_that_changed_are_refused(opened, executor):
  batches = opened('bad_records', processes=2)
  workers = batches._workers
  changed = bytes(workers._pickled).replace(
    batches.fingerprint.encode(), b'0' * len(batches.fingerprint)
  )
  workers._pickled[:] = np.frombuffer(changed, np.uint8)
  with pytest.raises(input_pipeline.DataError, match='The records changed'):
    batches.batch(0)


def _facts():
  """Of a worker process: signals blocked, GPUs seen, whether JAX has begun."""
  bridge = sys.modules.get('jax._src.xla_bridge')
  return (
    os.getpid(),
    signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    tf.config.get_visible_devices('GPU'),
    bridge is not None and bridge.backends_are_initialized(),
  )


def test_a_worker_ignores_signals_and_uses_no_device(executor):
  pid, blocked, gpus, jax_began = executor.submit(_facts).result()
  assert pid != os.getpid()
  assert {signal.SIGINT, signal.SIGTERM} <= blocked
  assert not gpus
  assert not jax_began  # TensorFlow imports JAX.
  for number in (signal.SIGINT, signal.SIGTERM):
    os.kill(pid, number)
  assert executor.submit(os.getpid).result() == pid
  # Nothing is blocked in the parent.
  assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_killed_worker_is_one_clear_error(opened, executor):
  pid = executor.submit(os.getpid).result()
  batches = opened('bad_records', processes=2)
  right = opened('bad_records')
  stream = batches.from_step(0, 1000)
  seen = [next(stream)]
  os.kill(pid, signal.SIGKILL)
  with pytest.raises(UserError, match='A worker process of the loader ended'):
    collections.deque(map(seen.append, stream))
  for step, batch in enumerate(seen):
    _equal(batch, right.batch(step))
  with pytest.raises(UserError, match='memory is full'):
    batches.batch(0)
  SHARED.clear()
  assert pid not in {c.pid for c in multiprocessing.active_children()}


class UnreadableError(Exception):
  """Can be pickled, but not read again."""

  def __init__(self, one, two):
    super().__init__(one)


class Mute(ClipSampler):
  """Fails in a worker process with an error that cannot be read."""

  def training_clips(self, example, seed, epoch, index):
    if multiprocessing.parent_process():
      raise UnreadableError(1, 2)
    return super().training_clips(example, seed, epoch, index)


def test_a_result_that_cannot_be_read_is_named(opened, executor, monkeypatch):
  monkeypatch.setattr(train, 'ClipSampler', Mute)
  with pytest.raises(UserError, match=r'ended.*be read: TypeError: .*two'):
    opened('bad_records', processes=1).batch(0)
  SHARED.clear()


def test_closed_batches_say_so(opened):
  """Those in the making too: the process starts with the first task."""
  batches = opened('bad_records', processes=1)
  errors, begun = [], threading.Event()
  submit = batches._workers._executor.submit

  def watched(*args):
    task = submit(*args)
    begun.set()
    return task

  batches._workers._executor.submit = watched

  def make():
    try:
      batches.batch(0)
    except UserError as error:
      errors.append(str(error))

  thread = threading.Thread(target=make)
  thread.start()
  begun.wait(60)
  batches.close()
  thread.join()
  with pytest.raises(UserError, match='are closed, so no more'):
    batches.batch(1)
  assert all('are closed' in error for error in errors)


@pytest.mark.slow
def test_nothing_refers_to_workers_but_their_batches(opened, executor):
  batches = opened('bad_records', processes=2)
  batches.batch(0)
  workers = weakref.ref(batches._workers)
  del batches
  gc.collect()
  assert workers() is None


def _hold(data_dir):
  """In a process of multiprocessing: has batches that it does not close."""
  SHARED['batches'] = input_pipeline.train_batches(
    **NOISE, processes=1, data_dir=data_dir
  )
  SHARED['batches'].batch(0)


@pytest.mark.slow
def test_a_process_of_multiprocessing_can_end(noise_records):
  context = multiprocessing.get_context('spawn')
  process = context.Process(target=_hold, args=(str(noise_records),))
  process.start()
  process.join(120)
  code = process.exitcode
  process.kill()
  assert code == 0


def test_the_error_of_a_bad_record_can_be_sent():
  record = {'dataset': 'd', 'split': 's', 'index': 3, 'reason': 'odd'}
  error = BadRecordError(record, 'a cause')
  again = pickle.loads(pickle.dumps(error))
  assert (again.record, str(again)) == (record, str(error))


def test_so_many_batches_are_in_the_making():
  """Two are, and never three."""
  both, making, most = threading.Barrier(2), [], []

  def make(step):
    making.append(step)
    both.wait(60)
    most.append(len(making))
    both.wait(60)
    making.remove(step)
    return {'id': np.array([str(step)]), 'x': np.full(3, step, np.int32)}

  found = list(prefetch(make, {'id': str, 'x': np.int32}, 0, 10, at_once=2))
  assert [int(batch['x'][0]) for batch in found] == list(range(10))
  assert set(most) == {2}


def test_no_tuner_prolongs_the_end(monkeypatch):
  """TensorFlow's tuner would end only when it has slept, up to a minute."""
  tuned, iterator = [], tf.data.Dataset.as_numpy_iterator

  def observed(batches):
    tuned.append(batches.options().autotune.enabled)
    return iterator(batches)

  def make(step):
    return {'id': np.array([str(step)])}

  monkeypatch.setattr(tf.data.Dataset, 'as_numpy_iterator', observed)
  assert len(list(prefetch(make, {'id': str}, 0, 2, at_once=2))) == 2
  assert tuned == [False]
