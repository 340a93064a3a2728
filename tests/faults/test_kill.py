"""kill -9 at any moment: the same command resumes, with the same end."""

import time

import numpy as np
import pytest

from tests.faults.conftest import (
  NUM_STEPS,
  SAVE_EVERY,
  assert_same_end,
  some_fast,
)
from tests.helpers.faulty_runs import Fault

SAVE = 'avl_jax.checkpoints.checkpointer.Checkpoints'
MOMENTS = {
  'opening the checkpoints': Fault('kill', f'{SAVE}.__init__'),
  'the compilation of the step': Fault(
    'kill', 'avl_jax.parallel.pmap_step()', value=0.5
  ),
  'the first step': Fault('kill', 'avl_jax.parallel.pmap_step()', after=True),
  'a step': Fault('kill', 'avl_jax.parallel.pmap_step()', call=5, after=True),
  'the copy to the host': Fault(
    'kill', 'avl_jax.checkpoints.storage.items', call=3, after=True
  ),
  'the write': Fault(
    'kill', 'orbax.checkpoint.Checkpointer.save', matching='checkpoints/4.tmp/t'
  ),
  'the manifest': Fault(
    'kill', 'avl_jax.checkpoints.manifest.write', matching='checkpoints/4.tmp'
  ),
  'before the rename': Fault(
    'kill',
    'avl_jax.checkpoints.manifest.write',
    matching='checkpoints/4.tmp',
    after=True,
  ),
  'after the rename': Fault(
    'kill', 'os.rename', matching="checkpoints/4.tmp'", after=True
  ),
  'deleting an old checkpoint': Fault(
    'kill', f'{SAVE}._take_away', call=2, after=True
  ),
  'an evaluation': Fault(
    'kill', 'avl_jax.parallel.pmap_forward()', call=4, after=True
  ),
  'the first evaluation': Fault(
    'kill', 'avl_jax.parallel.pmap_forward()', after=True
  ),
  'a log': Fault('kill', 'avl_jax.train.metrics_log.History._write', call=4),
  'the final write': Fault(
    'kill', 'orbax.checkpoint.Checkpointer.save', matching='checkpoints/8.tmp/v'
  ),
  'the end': Fault('kill', 'avl_jax.train.timing.Clock.__exit__'),
}


def _check(killed, begin, workdir, unbroken):
  """Checks that it was killed, and that the same command completes the run."""
  assert killed.exit_code == -9, killed.stderr
  written, done = [0, *killed.events('written')], len(killed.events('step'))
  again = begin(workdir).wait()
  assert again.exit_code == 0, again.stderr
  # Steps on the disk are not repeated; at most the last save is lost.
  assert again.first >= max(written)
  assert again.first >= done - 2 * SAVE_EVERY
  assert list(again.events('step')) == [*range(again.first + 1, NUM_STEPS + 1)]
  assert_same_end(workdir, unbroken)


@pytest.mark.parametrize('moment', some_fast(MOMENTS, 'before the rename'))
def test_killed_at(moment, begin, unbroken, tmp_path):
  workdir = tmp_path / 'run'
  killed = begin(workdir, faults=[MOMENTS[moment]]).wait()
  assert killed.events('fault')
  _check(killed, begin, workdir, unbroken)


@pytest.mark.slow
@pytest.mark.parametrize('number', range(25))
def test_killed_at_random(number, begin, unbroken, tmp_path):
  """Between the start and the last save, mostly after the first step."""
  workdir = tmp_path / 'run'
  rng = np.random.default_rng(number)
  killed = begin(workdir)
  if number < 5:
    time.sleep(rng.uniform(0, 2))
  else:
    killed.until(f'@step {rng.integers(1, NUM_STEPS + 1)}')
    time.sleep(rng.uniform(0, 0.3))
  killed.send(9)
  _check(killed.wait(), begin, workdir, unbroken)
