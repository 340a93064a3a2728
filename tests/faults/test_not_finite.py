"""Non-finite values in batches, after the checks of the input pipeline."""

import jax
import numpy as np
import pytest

from avl_jax.train.metrics_log import read_history
from tests.faults.conftest import arrays, assert_one_message, rows, some_fast
from tests.helpers.faulty_runs import Fault

BATCHES = 'input_pipeline.batches.train.TrainBatches.from_step[]'


def _poison(name, number, call, example=5):
  return Fault(
    'poison', BATCHES, call=call, after=True, value=(name, example, number)
  )


def _assert_finite(workdir, step):
  leaves = jax.tree.leaves(arrays(workdir, step))
  assert len(leaves) > 40
  assert all(np.isfinite(leaf).all() for leaf in leaves)


CASES = {
  f'{number} in {name} on device {example // 4}': (name, number, example)
  for name in ('spectrogram', 'visual')
  for number in ('nan', 'inf')
  for example in (1, 5)
}


@pytest.mark.parametrize(
  'case', some_fast(CASES, 'nan in spectrogram on device 1')
)
@pytest.mark.parametrize('axis', ['devices'])
def test_the_step_is_skipped_on_all_devices(case, axis, begin, tmp_path):
  name, number, example = CASES[case]
  child = begin(tmp_path, faults=[_poison(name, number, 4, example)]).wait()
  assert child.exit_code == 0, child.stderr
  assert child.events('fault')
  (skipped,) = (
    row for row in read_history(tmp_path / 'metrics.jsonl') if 'skipped' in row
  )
  assert skipped['step'] == 4
  assert skipped['skipped'].split('\n') == child.events('ids')[4].split('\t')
  counts = [row['skipped_steps'] for row in rows(tmp_path) if 'loss' in row]
  assert counts == [0, 1, 0, 0]
  assert 'Skipped step 4: non-finite values' in child.stdout
  _assert_finite(tmp_path, 8)
  after, before = (arrays(tmp_path, step)['variables'] for step in (8, 6))
  changed = jax.tree.map(lambda x, y: (x != y).any(), after, before)
  assert all(jax.tree.leaves(changed['params']['audio_encoder']))


@pytest.mark.slow
@pytest.mark.parametrize('statistics', ['each device', 'frozen'])
def test_with_statistics_of(statistics, begin, tmp_path):
  """With statistics of each device the other one cannot see the NaN."""
  setting = {
    'each device': '--config.model.axis_name=',
    'frozen': '--config.model.frozen_statistics=True',
  }[statistics]
  fault = _poison('spectrogram', 'nan', 4, 6)
  child = begin(tmp_path, setting, faults=[fault]).wait()
  assert child.exit_code == 0, child.stderr
  counts = [row['skipped_steps'] for row in rows(tmp_path) if 'loss' in row]
  assert counts == [0, 1, 0, 0]
  _assert_finite(tmp_path, 8)


@pytest.mark.slow
def test_too_many_in_a_row(begin, tmp_path):
  """The run ends with a good last checkpoint, and ends again if resumed."""
  fault = _poison('visual', 'nan', 0)
  for start in (0, 2):
    child = begin(
      tmp_path, '--config.train.max_skipped=3', faults=[fault]
    ).wait()
    assert child.first == start
    assert_one_message(child)
    assert '3 consecutive steps, up to step 3' in child.stderr
    assert not (tmp_path / 'checkpoints' / '3').exists()
    _assert_finite(tmp_path, 2)
