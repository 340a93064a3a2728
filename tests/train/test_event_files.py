"""Event files of a run that resumes."""

import numpy as np
import pytest
import tensorflow as tf

import input_pipeline
from avl_jax.train import event_files


def _events(workdir):
  """(step, name, value) of all files, in their order, as TensorFlow reads."""
  found = []
  for path in sorted(workdir.glob('events.out.tfevents.*')):
    for record in tf.data.TFRecordDataset(str(path)):
      event = tf.compat.v1.Event.FromString(record.numpy())
      found += [
        (event.step, value.tag, float(tf.make_ndarray(value.tensor)))
        for value in event.summary.value
        if value.tag != 'skipped'
      ]
  return found


@pytest.fixture
def workdir(tmp_path):
  writer = input_pipeline.metric_writer(tmp_path)
  for step in (0, 1, 2, 300, 70_000):
    writer.write_scalars(step, {'loss': step / 4})
    writer.write_texts(step, {'skipped': 'a name'})
  writer.flush()
  writer.close()
  return tmp_path


@pytest.mark.parametrize('last', [0, 1, 299, 300, 70_000])
def test_later_events_are_dropped(workdir, last):
  (path,) = workdir.glob('events*')
  before = path.read_bytes()
  event_files.drop_later(workdir, last)
  kept = [step for step in (0, 1, 2, 300, 70_000) if step <= last]
  assert _events(workdir) == [(step, 'loss', step / 4) for step in kept]
  assert (path.read_bytes() == before) == (last == 70_000)
  writer = input_pipeline.metric_writer(workdir)
  writer.write_scalars(last + 1, {'loss': 9.0})
  writer.close()
  steps = [step for step, *_ in _events(workdir)]
  assert sorted(steps) == sorted(set(steps)) == [*kept, last + 1]


def test_a_new_run_has_no_earlier_events(workdir):
  event_files.drop_later(workdir, -1)
  assert not list(workdir.glob('events*'))


def test_an_incomplete_end_is_dropped(workdir):
  (path,) = workdir.glob('events*')
  whole = path.read_bytes()
  for cut in np.random.default_rng(0).integers(1, len(whole), 20).tolist():
    path.write_bytes(whole[:cut])
    event_files.drop_later(workdir, 300)
    if path.exists():
      steps = [step for step, *_ in _events(workdir)]
      assert steps == [0, 1, 2, 300][: len(steps)]
