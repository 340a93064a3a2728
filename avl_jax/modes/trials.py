"""Trials of learning rates, by examples that decide nothing else."""

import json
import pathlib
import time
from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from avl_jax import logs
from avl_jax.checkpoints import loading
from avl_jax.errors import ConfigError
from avl_jax.files import write_atomically
from avl_jax.modes import evaluate, train
from avl_jax.modes.pipeline import InputPipeline
from avl_jax.retrieval.result import whole

FILE = 'learning_rates.json'  # in the workdir of a comparison
Rates = dict[str, dict[float, float]]  # run -> learning rate -> mean R@10


def choose_rates(
  runs: Sequence[tuple[str, int, ConfigDict]],
  workdir: pathlib.Path,
  pipeline: InputPipeline,
) -> Rates:
  """Tries the learning rates of a comparison, and sets the best in its runs.

  Trials that are done are not trained again.

  Args:
    runs: (name, seed, config) of each run. A trial is of the first seed of its
      run. The learning rates of the configs are set.
    workdir: of the comparison; a trial is in RUN/trials/RATE below it.
    pipeline: see `InputPipeline`.

  Returns:
    What decided; {} if there are no learning rates to try.

  Raises:
    ConfigError: nothing says which examples decide, or how long trials last.
  """
  found: Rates = {}
  for name, _, run in runs:
    if name not in found and run.num_steps and run.comparison.learning_rates:
      found[name] = _try_rates(run, workdir / name / 'trials', pipeline)
  for name, _, run in runs:
    if name in found:
      run.optimizer.learning_rate = best(found[name])
  if found:
    write_atomically(workdir / FILE, f'{json.dumps(found, indent=2)}\n')
  return found


def best(scores: Mapping[float, float]) -> float:
  """The learning rate with the largest score, the first in a tie."""
  return max(scores, key=lambda rate: scores[rate])


def _try_rates(
  run: ConfigDict, folder: pathlib.Path, pipeline: InputPipeline
) -> dict[float, float]:
  """Learning rate -> mean R@10 of the trial of a run."""
  chosen = run.comparison
  if not chosen.trial_steps or not chosen.trial_evaluations:
    raise ConfigError(
      'comparison.learning_rates has rates to try, but comparison.trial_steps '
      f'is {chosen.trial_steps} and comparison.trial_evaluations has '
      f'{len(chosen.trial_evaluations)} entries. Expected steps, and examples '
      'that decide. Set both, or comparison.learning_rates=().'
    )
  evaluations = evaluate.open_evaluations(
    run, pipeline, evaluations=chosen.trial_evaluations
  )
  scores = {}
  for rate in chosen.learning_rates:
    place = folder / f'{rate:g}'
    logs.write(f'Trial of the learning rate {rate:g}: {place}')
    trial = trial_of(run, rate)
    train.run(trial, place, pipeline, time.perf_counter())
    results = evaluate.evaluate_variables(
      trial, loading.load(place), evaluations, f'The model of {place}'
    )
    mean = float(np.mean([whole(r.results).recall_at_10 for r in results]))
    scores[rate] = round(mean, 9)  # Rounding errors decide nothing.
  return scores


def trial_of(run: ConfigDict, rate: float) -> ConfigDict:
  """The config of a trial: a whole schedule, judged by its last checkpoint."""
  trial = run.copy_and_resolve_references().unlock()
  steps = trial.num_steps = run.comparison.trial_steps
  trial.optimizer.learning_rate = rate
  trial.best_metric = ''
  trial.eval_data.evaluations = ConfigDict()
  # A rate that is too large loses; it does not end the comparison.
  trial.train.update(eval_every=steps, max_skipped=steps + 1)
  return trial.lock()
