"""Trials of learning rates: their configs, and what is taken."""

import json
import types

import pytest
from ml_collections import ConfigDict

from avl_jax.config import read_config
from avl_jax.errors import ConfigError
from avl_jax.modes import compare, trials

RATES = (1e-3, 3e-4, 3e-3)
SCORES = {  # run, rate -> R@10 of each task
  ('one', 1e-3): (0.2, 0.4),
  ('one', 3e-4): (0.5, 0.0),
  ('one', 3e-3): (0.1, 0.6),
  ('two', 1e-3): (0.3, 0.3),
  ('two', 3e-4): (0.2, 0.4),
  ('two', 3e-3): (0.1, 0.1),
}


def _runs(**more):
  config = read_config('configs/stamps.py')
  config.comparison.update(
    runs=(('one', {}), ('two', {'num_steps': 60}), ('old', {'num_steps': 0})),
    seeds=(4, 5),
    learning_rates=RATES,
    trial_steps=20,
    trial_evaluations={'held_out': {'datasets': ('x',), 'splits': ('y',)}},
  )
  for key, value in more.items():
    config.comparison[key] = value
  return list(compare.expand(config))


def _retrieval(recall):
  # The subset of fewer queries does not count.
  counted = ((9, recall), (3, 1.0))
  results = [
    types.SimpleNamespace(queries=n, recall_at_10=x) for n, x in counted
  ]
  return types.SimpleNamespace(results=results)


@pytest.fixture
def made(monkeypatch):
  """(config, folder) of each training; the scores are those of SCORES."""
  seen = []

  def evaluated(config, trained, evaluations, name):
    assert evaluations == {'opened': ['held_out']}
    rate = config.optimizer.learning_rate
    return [_retrieval(x) for x in SCORES[trained.parts[-3], rate]]

  def opened(config, pipeline, evaluations):
    del config, pipeline
    return {'opened': list(evaluations)}

  monkeypatch.setattr(
    trials.train, 'run', lambda run, folder, *_: seen.append((run, folder))
  )
  monkeypatch.setattr(trials.loading, 'load', lambda folder: folder)
  monkeypatch.setattr(trials.evaluate, 'open_evaluations', opened)
  monkeypatch.setattr(trials.evaluate, 'evaluate_variables', evaluated)
  return seen


def test_each_run_has_the_rate_of_its_best_trial(made, tmp_path):
  runs = _runs()
  found = trials.choose_rates(runs, tmp_path, None)
  assert found['one'] == pytest.approx({1e-3: 0.3, 3e-4: 0.25, 3e-3: 0.35})
  # In a tie the first.
  rates = [(name, run.optimizer.learning_rate) for name, _, run in runs]
  assert rates == [
    *(('one', 3e-3), ('one', 3e-3), ('two', 1e-3), ('two', 1e-3)),
    ('old', 1e-3),  # It is not trained.
  ]
  assert json.loads((tmp_path / trials.FILE).read_text()).keys() == found.keys()
  folders = [str(folder.relative_to(tmp_path)) for _, folder in made]
  assert folders == [
    f'{name}/trials/{rate:g}' for name in ('one', 'two') for rate in RATES
  ]


def test_a_trial_is_a_short_run_that_sees_no_other_clips(made, tmp_path):
  (name, seed, run), *_ = runs = _runs()
  trials.choose_rates(runs, tmp_path, None)
  for trial, rate in zip([t for t, _ in made], RATES, strict=False):
    assert (trial.num_steps, trial.seed) == (20, seed)
    assert trial.optimizer.learning_rate == rate
    assert not trial.eval_data.evaluations
    assert trial.best_metric == ''
    assert trial.train_data == run.train_data
    assert trial.model == run.model
  assert (name, run.num_steps) == ('one', 800)
  assert run.eval_data.evaluations


def test_nothing_to_try(made, tmp_path):
  runs = _runs(learning_rates=())
  assert trials.choose_rates(runs, tmp_path, None) == {}
  assert not made
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  'changes', [{'trial_steps': 0}, {'trial_evaluations': ConfigDict()}]
)
def test_trials_need_steps_and_examples(changes, made, tmp_path):
  with pytest.raises(ConfigError, match=r'trial_steps is .* Set both'):
    trials.choose_rates(_runs(**changes), tmp_path, None)
