"""Optimizer, loop, resume and checkpoints, on a toy model."""

import jax
import numpy as np
import optax
import pytest

from avl_jax import UserError, checkpoint, history, parallel, train
from avl_jax.model import AVLnet, init_variables

SMALL = {'embed_dim': 6, 'widths': (4, 4), 'blocks': (1,)}
VISUAL = 5


def _batch(step):
  rng = np.random.default_rng(step)
  return {
    'spectrogram': rng.normal(-40, 9, (8, 24, 40)).astype(np.float32),
    'num_frames': rng.integers(5, 24, 8, dtype=np.int32),
    'visual': rng.normal(size=(8, VISUAL)).astype(np.float32),
    'id': np.array(['a'] * 8),
  }


def _batches(first, last):
  return (_batch(step) for step in range(first, last))


class Run:
  """A run as `main.py` puts it together, in a workdir."""

  def __init__(self, workdir, config=None, best='', evaluate=None):
    workdir.mkdir(exist_ok=True)
    self.model = AVLnet(**(config or SMALL))
    self.description = checkpoint.describe(
      config or SMALL, VISUAL, 'data', best
    )
    self.checkpoints = checkpoint.Checkpoints(workdir, self.description)
    self.optimizer = train.make_optimizer(
      learning_rate=1e-2, schedule='cosine', warmup_steps=2, num_steps=6
    )
    self.evaluate = evaluate or (lambda variables: {'score': 1.0})
    variables = init_variables(self.model, VISUAL)
    self.state = self.checkpoints.restore(
      train.create_state(variables, self.optimizer)
    )
    self.history = history.History(
      workdir / 'metrics.jsonl', int(self.state.step)
    )

  def train(self, num_steps, batches=_batches, eval_every=2):
    step = train.make_step(
      self.model, self.optimizer, pairs=(('audio', 'video'),), margin=0.001
    )
    state = train.train_and_evaluate(
      state=self.state,
      step=parallel.pmap_step(step),
      batches=batches,
      evaluate=self.evaluate,
      writer=self.history,
      checkpoints=self.checkpoints,
      num_steps=num_steps,
      log_every=2,
      eval_every=eval_every,
    )
    self.checkpoints.close()
    self.history.close()
    return state


def _equal(x, y):
  jax.tree.map(np.testing.assert_array_equal, x, y)


@pytest.fixture(autouse=True)
def two_devices(use_devices):
  use_devices(2)


def test_a_resumed_run_ends_where_the_unbroken_one_does(tmp_path):
  unbroken = Run(tmp_path / 'unbroken').train(6)
  Run(tmp_path / 'broken').train(4)
  second = Run(tmp_path / 'broken')
  assert int(second.state.step) == 4
  resumed = second.train(6)
  assert int(resumed.step) == 6
  _equal(resumed, unbroken)

  def losses(name):
    rows = history.read_history(tmp_path / name / 'metrics.jsonl')
    return [(row['step'], row['loss']) for row in rows if 'loss' in row]

  assert losses('broken') == losses('unbroken')
  assert [step for step, _ in losses('broken')] == [2, 4, 6]


def test_a_finished_run_does_nothing(tmp_path):
  state = Run(tmp_path).train(4)
  again = Run(tmp_path).train(4, batches=lambda first, last: iter(()))
  _equal(state, again)


def test_last_and_best_are_kept(tmp_path):
  scores = iter([0.0, 0.1, 0.9, 0.5])  # the first before any step
  run = Run(
    tmp_path,
    best='score',
    evaluate=lambda variables: {'score': next(scores)},
  )
  state = run.train(6)
  kept = {p.name for p in (tmp_path / 'checkpoints').iterdir() if p.is_dir()}
  assert kept == {'4', '6'}
  again = Run(tmp_path, best='score')
  again.history.close()
  assert int(again.state.step) == 6
  model, variables, description = checkpoint.load(tmp_path)
  assert description['step'] == 4
  assert model == run.model
  changed = jax.tree.map(
    lambda x, y: not np.array_equal(x, y), variables, state.variables
  )
  assert any(jax.tree.leaves(changed))


def test_variables_alone_start_another_run(tmp_path):
  run = Run(tmp_path)
  state = run.train(2)
  variables = checkpoint.load_variables(tmp_path, run.description)
  _equal(variables, state.variables)  # With no best, the last.
  fresh = train.create_state(variables, run.optimizer)
  assert int(fresh.step) == 0


def test_another_model_is_refused_by_its_keys(tmp_path):
  Run(tmp_path).train(2)
  other = {**SMALL, 'embed_dim': 7, 'structure': 'release'}
  with pytest.raises(UserError, match=r'embed_dim: 6 there, 7 here.*structure'):
    Run(tmp_path, config=other)
  description = checkpoint.describe(other, VISUAL, 'data')
  frozen = checkpoint.describe(
    {**SMALL, 'frozen_statistics': True}, VISUAL, 'data'
  )
  checkpoint.load_variables(tmp_path, frozen)  # The shapes are the same.
  with pytest.raises(UserError, match='embed_dim'):
    checkpoint.load_variables(tmp_path, description)


def test_no_checkpoint(tmp_path):
  with pytest.raises(UserError, match='train first'):
    checkpoint.load(tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
  def batches(first, last):
    for step, batch in enumerate(_batches(first, last)):
      bad = np.float32(np.nan if step == 3 else 1)
      yield batch | {'visual': batch['visual'] * bad}

  run = Run(tmp_path)
  with pytest.raises(UserError, match='loss of step 4 is nan'):
    run.train(5, batches, eval_every=1)
  run.checkpoints.close()
  run.history.close()
  again = Run(tmp_path)
  again.history.close()
  assert int(again.state.step) == 3


def test_a_best_metric_that_no_evaluation_gives_is_refused(tmp_path):
  run = Run(tmp_path, best='scroe')
  with pytest.raises(UserError, match=r"'scroe'; there are score"):
    run.train(4)
  run.history.close()


def test_other_data_are_refused(tmp_path):
  Run(tmp_path).train(2)
  other = checkpoint.describe(SMALL, VISUAL, 'other data')
  with pytest.raises(UserError, match=r'data there, other data here'):
    checkpoint.Checkpoints(tmp_path, other)


def test_training_learns(tmp_path):
  """The loss of one batch, seen again and again, falls below chance."""
  run = Run(tmp_path)
  run.optimizer = optax.adam(1e-2)
  run.state = train.create_state(
    init_variables(run.model, VISUAL), optax.adam(1e-2)
  )
  same = (_batch(0) for _ in range(60))
  run.train(60, lambda first, last: same, eval_every=60)
  losses = [row['loss'] for row in run.history.rows if 'loss' in row]
  assert losses[0] > 2 * np.log(8) * 0.9
  assert losses[-1] < 0.5 * losses[0]


def test_schedules_in_closed_form():
  exponential = train.make_schedule(
    learning_rate=0.5, decay_rate=0.9, decay_steps=10, warmup_steps=4
  )
  for step, expected in ((0, 0.125), (2, 0.375), (9, 0.5), (25, 0.5 * 0.81)):
    assert float(exponential(step)) == pytest.approx(expected, rel=1e-6)
  cosine = train.make_schedule(
    learning_rate=0.5, schedule='cosine', num_steps=100
  )
  for step in (0, 30, 100):
    expected = 0.25 * (1 + np.cos(np.pi * step / 100))
    assert float(cosine(step)) == pytest.approx(expected, abs=1e-6)
  with pytest.raises(ValueError, match='cosine'):
    train.make_schedule(learning_rate=1, schedule='linear')


def test_half_a_line_of_history_is_dropped(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n{"st')
  log = history.History(path, first_step=1)
  log.write_scalars(2, {'loss': np.float32(0.5)})
  log.close()
  assert history.read_history(path) == [
    {'step': 1, 'loss': 2.0},
    {'step': 2, 'loss': 0.5},
  ]


def test_bfloat16_keeps_parameters_and_statistics_in_float32(tmp_path):
  state = Run(tmp_path, config={**SMALL, 'dtype': 'bfloat16'}).train(2)
  for leaf in jax.tree.leaves(state.variables):
    assert leaf.dtype == np.float32
  float32 = Run(tmp_path / 'float32').train(2)
  start = init_variables(AVLnet(**SMALL), VISUAL)

  def change(variables):
    leaves = jax.tree.leaves(jax.tree.map(lambda x, y: x - y, variables, start))
    return np.concatenate([np.ravel(leaf) for leaf in leaves])

  expected, got = change(float32.variables), change(state.variables)
  assert np.linalg.norm(got - expected) < 0.2 * np.linalg.norm(expected)
  assert (got != expected).any()
