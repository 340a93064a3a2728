"""Schedule, step, loop and resuming, on a toy model."""

import resource
import signal
import time

import jax
import numpy as np
import optax
import pytest

from avl_jax import parallel
from avl_jax.checkpoints import checkpointer, loading, metadata
from avl_jax.errors import UserError
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.train import initialization, loop, metrics_log, timing
from avl_jax.train import optimizer as optimizers
from avl_jax.train import step as training_step
from avl_jax.train.preemption import Interrupted

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


class StopAt:
  """Stands in for `Stop`: a stop is requested from the n-th query on that one.

  The loop queries after each step and after each evaluation.
  """

  def __init__(self, number):
    self._calls, self._number = 0, number

  def requested(self):
    self._calls += 1
    return signal.SIGTERM if self._calls == self._number else 0


class Run:
  """A run in a workdir, assembled as `--mode=train` does."""

  def __init__(self, workdir, config=None, best='', evaluate=None):
    workdir.mkdir(exist_ok=True)
    self.model = AVLnet(**(config or SMALL))
    self.description = _describe(config, best=best)
    self.checkpoints = checkpointer.Checkpoints(workdir, self.description)
    self.optimizer = optimizers.make_optimizer(
      learning_rate=1e-2, schedule='cosine', warmup_steps=2, num_steps=6
    )
    self.evaluate = evaluate or (lambda variables: {'score': 1.0})
    variables = init_variables(self.model, VISUAL)
    self.state = parallel.replicate(
      self.checkpoints.restore(
        training_step.create_state(variables, self.optimizer)
      )
    )
    self.history = metrics_log.History(
      workdir / 'metrics.jsonl', int(self.state.step)
    )
    self.clock = timing.Clock(time.perf_counter())

  def train(self, num_steps, batches=_batches, **options):
    step = training_step.make_step(
      self.model, self.optimizer, pairs=(('audio', 'video'),), margin=0.001
    )
    defaults = {
      'stop': StopAt(None),
      'log_every': 3,
      'eval_every': 2,
      'save_every': 1,
      'max_skipped': 2,
    }
    try:
      return loop.Loop(
        step=parallel.pmap_step(step),
        batches=batches,
        evaluate=self.evaluate,
        writer=self.history,
        checkpoints=self.checkpoints,
        clock=self.clock,
        num_steps=num_steps,
        **defaults | options,
      ).run(self.state)
    finally:
      self.close()

  def close(self):
    self.checkpoints.close()
    self.history.close()


def _describe(config=None, data='data', seed=1, best=''):
  return metadata.describe(
    config or SMALL,
    VISUAL,
    data,
    seed=seed,
    batch_size=8,
    best_metric=best,
  )


def _measured(workdir):
  """Rows of metrics.jsonl without measurements of time."""
  return [
    {
      name: value
      for name, value in row.items()
      if not name.startswith('seconds/')
      and name not in ('clips_per_second', 'waiting_for_data')
    }
    for row in metrics_log.read_history(workdir / 'metrics.jsonl')
  ]


def _equal(x, y):
  jax.tree.map(np.testing.assert_array_equal, x, y)


@pytest.fixture(autouse=True)
def two_devices(use_devices):
  use_devices(2)


@pytest.mark.parametrize(
  ('call', 'stop_after'),
  [(1, 1), (3, 2), (5, 4), (8, 6)],  # the second after an evaluation
)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, call, stop_after):
  """State and metrics equal those of a run that was never stopped."""

  def evaluate(variables):
    return {'score': float(jax.tree.leaves(variables)[0].sum())}

  unbroken = Run(tmp_path / 'unbroken', evaluate=evaluate).train(6)
  broken = Run(tmp_path / 'broken', evaluate=evaluate)
  with pytest.raises(Interrupted) as stopped:
    broken.train(6, stop=StopAt(call), save_every=100)
  assert stopped.value.exit_code == 143
  second = Run(tmp_path / 'broken', evaluate=evaluate)
  assert int(second.state.step) == stop_after
  resumed = second.train(6, save_every=100)
  _equal(resumed, unbroken)
  rows = [row for row in _measured(tmp_path / 'broken') if len(row) > 1]
  expected = [row for row in _measured(tmp_path / 'unbroken') if len(row) > 1]
  assert rows == expected
  assert [row['step'] for row in rows] == [0, 2, 3, 4, 6, 6]
  assert len({row['score'] for row in rows if 'score' in row}) == 4


def test_a_finished_run_does_nothing(tmp_path):
  state = Run(tmp_path).train(4)
  again = Run(tmp_path).train(4, batches=lambda first, last: iter(()))
  _equal(state, again)


def test_the_last_two_and_the_best_are_kept(tmp_path):
  scores = iter([0.0, 0.9, 0.1, 0.5, 0.7])  # the first before any step
  run = Run(
    tmp_path,
    best='score',
    evaluate=lambda variables: {'score': next(scores)},
  )
  state = run.train(8)
  kept = {p.name for p in (tmp_path / 'checkpoints').iterdir()}
  assert kept == {'2', '7', '8'}
  again = Run(tmp_path, best='score')
  again.close()
  assert int(again.state.step) == 8
  model, variables, description = loading.load(tmp_path)
  assert description == run.description | {'step': 2}
  assert model == run.model
  changed = jax.tree.map(
    lambda x, y: not np.array_equal(x, y), variables, state.variables
  )
  assert any(jax.tree.leaves(changed))


def test_variables_alone_start_another_run(tmp_path):
  run = Run(tmp_path)
  state = run.train(2)
  _, variables, description = loading.load(tmp_path)
  _equal(variables, state.variables)  # With no best, the last.
  assert metadata.provenance(description) == 'data'
  fresh = training_step.create_state(variables, run.optimizer)
  assert int(fresh.step) == 0


def test_the_initial_provenance_is_kept(tmp_path):
  run = Run(tmp_path)
  run.checkpoints.set_initial_provenance('first second')
  run.train(2)
  Run(tmp_path).train(4)  # Resumes without reading the initial workdir.
  _, _, facts = loading.load(tmp_path)
  assert (facts['step'], facts['initial']) == (4, 'first second')
  assert metadata.provenance(facts) == 'first second data'


def test_another_model_is_refused_with_its_keys(tmp_path):
  Run(tmp_path).train(2)
  other = {**SMALL, 'embed_dim': 7, 'structure': 'release'}
  with pytest.raises(
    UserError, match=r'embed_dim: 6 in the .*, 7 in this run.*structure'
  ):
    Run(tmp_path, config=other)
  pretrained = initialization.load_pretrained(
    AVLnet(**SMALL), image_weights='', initial_workdir=tmp_path
  )
  frozen = {**SMALL, 'frozen_statistics': True}  # The shapes are the same.
  variables = initialization.initialize(
    AVLnet(**frozen), _describe(frozen), pretrained
  )
  _equal(variables, loading.load(tmp_path)[1])
  with pytest.raises(UserError, match=r'initial workdir .*embed_dim'):
    initialization.initialize(AVLnet(**other), _describe(other), pretrained)


def test_no_checkpoint(tmp_path):
  with pytest.raises(UserError, match='Train first'):
    loading.load(tmp_path)


def _with_bad(steps, poison):
  """Batches with a non-finite value at some steps, counted from 1."""

  def batches(first, last):
    for step in range(first, last):
      batch = _batch(step)
      if step + 1 in steps:
        poison(batch)
      yield batch

  return batches


def _nan_in_audio(batch):
  batch['spectrogram'][5, 3, 2] = np.nan


def _infinity_in_video(batch):
  batch['visual'][0, 1] = np.inf


def _too_large(batch):
  batch['visual'][:] = 1e38


@pytest.mark.parametrize(
  ('poison', 'config'),
  [
    (_nan_in_audio, {}),
    (_nan_in_audio, {'axis_name': ''}),
    (_infinity_in_video, {'frozen_statistics': True}),
    (_too_large, {}),
  ],
)
def test_a_non_finite_step_is_skipped(tmp_path, poison, config):
  """On no device; the step is counted, and otherwise as if it had not been."""
  run = Run(tmp_path, config=SMALL | config)
  before = jax.device_get(run.train(2))
  run = Run(tmp_path, config=SMALL | config)
  after = run.train(3, _with_bad({3}, poison), eval_every=100)
  assert int(after.step) == 3
  assert int(after.skipped) == 1
  for device in range(2):
    here = jax.tree.map(
      lambda x, i=device: np.asarray(x.addressable_shards[i].data), after
    )
    _equal(here.variables, before.variables)
    _equal(here.optimizer_state, before.optimizer_state)
  assert run.history.rows[-2]['skipped_steps'] == 1
  assert [row['skipped'] for row in run.history.rows if 'skipped' in row] == [
    'a'
  ]
  again = Run(tmp_path, config=SMALL | config).train(4)
  assert int(again.skipped) == 0
  changed = jax.tree.map(
    lambda x, y: not np.array_equal(x, y), again.variables, before.variables
  )
  assert all(jax.tree.leaves(changed['params']['audio_encoder']))


def test_too_many_skipped_steps_stop_the_run(tmp_path):
  bad = _with_bad({1, 3, 4, 5}, _infinity_in_video)
  run = Run(tmp_path)
  with pytest.raises(UserError, match='2 consecutive steps, up to step 4'):
    run.train(6, bad)
  again = Run(tmp_path)
  assert int(again.state.step) == 3  # The fourth was never saved.
  assert int(again.state.skipped) == 1
  with pytest.raises(UserError, match='up to step 4'):
    again.train(6, bad)


def test_an_unknown_best_metric_is_refused(tmp_path):
  run = Run(tmp_path, best='scroe')
  with pytest.raises(UserError, match=r"'scroe'.*Choose one of score"):
    run.train(4)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'data': 'other'}, "data: 'data' in the checkpoint, 'other' in this run"),
    ({'seed': 2}, 'seed: 1 in the checkpoint, 2 in this run'),
  ],
)
def test_training_on_other_examples_is_refused(tmp_path, changes, message):
  Run(tmp_path).train(2)
  with pytest.raises(UserError, match=message):
    checkpointer.Checkpoints(tmp_path, _describe(**changes))


def test_training_learns(tmp_path):
  """The loss of one batch, repeated, falls below chance."""
  run = Run(tmp_path)
  run.optimizer = optax.adam(1e-2)
  run.state = training_step.create_state(
    init_variables(run.model, VISUAL), optax.adam(1e-2)
  )
  same = (_batch(0) for _ in range(60))
  run.train(60, lambda first, last: same, eval_every=60, save_every=60)
  losses = [row['loss'] for row in run.history.rows if 'loss' in row]
  assert losses[0] > 2 * np.log(8) * 0.9
  assert losses[-1] < 0.5 * losses[0]


def test_schedules_in_closed_form():
  exponential = optimizers.make_schedule(
    learning_rate=0.5, decay_rate=0.9, decay_steps=10, warmup_steps=4
  )
  for step, expected in ((0, 0.125), (2, 0.375), (9, 0.5), (25, 0.5 * 0.81)):
    assert float(exponential(step)) == pytest.approx(expected, rel=1e-6)
  cosine = optimizers.make_schedule(
    learning_rate=0.5, schedule='cosine', num_steps=100
  )
  for step in (0, 30, 100):
    expected = 0.25 * (1 + np.cos(np.pi * step / 100))
    assert float(cosine(step)) == pytest.approx(expected, abs=1e-6)
  with pytest.raises(ValueError, match='cosine'):
    optimizers.make_schedule(learning_rate=1, schedule='linear')
  with pytest.raises(ValueError, match='num_steps'):
    optimizers.make_schedule(learning_rate=1, schedule='cosine')


def test_an_incomplete_line_of_the_log_is_dropped(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n{"st')
  log = metrics_log.History(path, last_step=1)
  log.write_scalars(2, {'loss': np.float32(0.5)})
  log.close()
  assert metrics_log.read_history(path) == [
    {'step': 1, 'loss': 2.0},
    {'step': 2, 'loss': 0.5},
  ]


def test_a_full_disk_is_reported(tmp_path):
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  log = metrics_log.History(tmp_path / 'metrics.jsonl', last_step=-1)
  resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
  try:
    with pytest.raises(UserError, match=r'metrics\.jsonl cannot be written'):
      log.write_scalars(1, {'a long name': 0.5})
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    log.close()


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
