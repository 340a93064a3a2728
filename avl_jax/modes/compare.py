"""--mode=compare: trains the runs of a comparison and evaluates all of them."""

import collections
import pathlib
import time
from collections.abc import Iterator

from ml_collections import ConfigDict

from avl_jax import config_checks, logs
from avl_jax.checkpoints import loading
from avl_jax.errors import ConfigError
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.models.transfer import carry_over
from avl_jax.modes import evaluate, train
from avl_jax.modes.pipeline import InputPipeline
from avl_jax.modes.prepare import prepare
from avl_jax.reports import comparison
from avl_jax.retrieval import embedding, evaluation


def compare(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> None:
  """Trains the runs that are not done; prints and writes the comparison."""
  evaluate.check_not_empty(config, 'comparison')
  runs = list(expand(config))
  prepare(config, workdir, pipeline)
  evaluations = evaluate.open_evaluations(
    config, pipeline, evaluations=config.comparison.evaluations
  )
  results = collections.defaultdict(list)
  for name, seed, settings in runs:
    folder = workdir / name / f'seed{seed}'
    logs.write(f'Run {name}, seed {seed}: {folder}')
    if settings.num_steps:
      train.run(settings, folder, pipeline, time.perf_counter())
      model, variables, facts = loading.load(folder)
    else:
      model, variables, facts = _initial_model(settings)
    evaluate.check_networks(facts, evaluations, f'The model of {folder}')
    model = embedding.in_dtype(model, settings.eval_dtype)
    evaluate_all = evaluation.make_evaluate(model, evaluations, **settings.eval)
    results[name].append(evaluate_all(variables))
  comparison.write(
    workdir,
    results,
    evaluation.media_of(evaluations),
    side_by_side=config.comparison.side_by_side,
    curve=config.comparison.curve,
    amount=config.comparison.amount,
  )
  print(f'Report: {workdir}/report.html')


def _initial_model(config: ConfigDict) -> tuple[AVLnet, dict, dict]:
  """As `loading.load`, with a new text branch if the model has none."""
  _, source, facts = loading.load(config.initial_workdir)
  model = AVLnet(**config.model)
  fresh = init_variables(model, facts['visual_width'], config.seed)
  return model, carry_over(source, fresh), facts


def expand(
  config: ConfigDict,
) -> Iterator[tuple[str, int, ConfigDict]]:
  """Yields the runs of a comparison, each with a complete config.

  Args:
    config: with `comparison.runs`, (name, keys that differ in this run), and
      `comparison.seeds`. A run of no steps is the model in its
      `initial_workdir`, which does not depend on the seed, so it comes once.

  Yields:
    (name, seed, config) of each run.

  Raises:
    ConfigError: there are no runs, a run changes a key that does not exist, or
      `comparison.side_by_side` names a run that does not exist.
  """
  if not config.comparison.runs:
    raise ConfigError(
      'There is nothing to compare: comparison.runs is empty in this config. '
      'Choose a config with runs, such as configs/finetune.py:stamps_fr.'
    )
  names = [name for name, _ in config.comparison.runs]
  for name in config.comparison.side_by_side:
    if name not in names:
      raise ConfigError(
        f'comparison.side_by_side has no run {name!r}. '
        f'Choose from {", ".join(names)}.'
      )
  for name, changes in config.comparison.runs:
    for seed in config.comparison.seeds:
      run = config.copy_and_resolve_references().lock()
      try:
        run.update(changes)
      except (KeyError, TypeError, ValueError) as error:
        reason = str(error).split(' Other fields')[0].strip('\'"')
        raise ConfigError(
          f'Invalid change in comparison.runs, run {name!r}: '
          f'{reason.rstrip(".")}. Choose keys and types of configs/avlnet.py.'
        ) from error
      run.seed = seed
      run.comparison.runs = ()
      config_checks.check(run)
      yield name, seed, run
      if not run.num_steps:
        break
