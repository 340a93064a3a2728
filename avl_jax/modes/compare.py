"""--mode=compare: trains the runs of a comparison and evaluates all of them."""

import collections
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping

from ml_collections import ConfigDict

from avl_jax import config_checks, logs
from avl_jax.checkpoints import loading
from avl_jax.errors import ConfigError
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.models.transfer import carry_over
from avl_jax.modes import evaluate, train, trials
from avl_jax.modes.pipeline import InputPipeline
from avl_jax.modes.prepare import prepare
from avl_jax.reports import claims, comparison
from avl_jax.retrieval import evaluation
from avl_jax.retrieval.evaluation import EvalBatches


def compare(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> None:
  """Trains the runs that are not done; prints and writes the comparison.

  If there are learning rates to try, each run has that of its best trial, see
  `trials`.
  """
  evaluate.check_not_empty(config, 'comparison')
  runs = list(expand(config))
  prepare(config, workdir, pipeline)
  open_for = _opener(config, pipeline)
  opened = [open_for(settings) for _, _, settings in runs]
  rates = trials.choose_rates(runs, workdir, pipeline)
  results = collections.defaultdict(list)
  for (name, seed, settings), evaluations in zip(runs, opened, strict=True):
    folder = workdir / name / f'seed{seed}'
    logs.write(f'Run {name}, seed {seed}: {folder}')
    if settings.num_steps:
      train.run(settings, folder, pipeline, time.perf_counter())
      trained = loading.load(folder)
    else:
      trained = _initial_model(settings)
    results[name].append(
      evaluate.evaluate_variables(
        settings, trained, evaluations, f'The model of {folder}'
      )
    )
  comparison.write(
    workdir,
    results,
    evaluation.media_of(open_for(config)),
    side_by_side=config.comparison.side_by_side,
    curve=config.comparison.curve,
    amount=config.comparison.amount,
    more=(
      *claims.blocks(
        results, config.comparison.printed, config.comparison.claims
      ),
      *claims.rates(rates, {r: trials.best(s) for r, s in rates.items()}),
    ),
  )
  print(f'Report: {workdir}/report.html')


def _opener(
  config: ConfigDict, pipeline: InputPipeline
) -> Callable[[ConfigDict], Mapping[str, EvalBatches]]:
  """Opens the evaluations for a run; once for all that read them alike."""
  opened: dict[str, Mapping[str, EvalBatches]] = {}

  def open_for(settings: ConfigDict) -> Mapping[str, EvalBatches]:
    key = json.dumps(
      {**settings.eval_data, 'evaluations': '', 'words': {**settings.words}}
    )
    if key not in opened:
      opened[key] = evaluate.open_evaluations(
        settings, pipeline, evaluations=config.comparison.evaluations
      )
    return opened[key]

  return open_for


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
      a key of `comparison` names a run that does not exist.
  """
  if not config.comparison.runs:
    raise ConfigError(
      'There is nothing to compare: comparison.runs is empty in this config. '
      'Choose a config with runs, such as configs/finetune.py:stamps_fr.'
    )
  names = [name for name, _ in config.comparison.runs]
  for key, named in _named(config.comparison):
    if named not in names:
      raise ConfigError(
        f'comparison.{key} has no run {named!r}. '
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


def _named(comparison_: ConfigDict) -> Iterator[tuple[str, str]]:
  """Keys of a comparison that name runs, with each name."""
  for name in comparison_.side_by_side:
    yield 'side_by_side', name
  for _, name, _ in comparison_.printed:
    yield 'printed', name
  for _, pairs in comparison_.claims:
    for pair in pairs:
      for name in pair:
        yield 'claims', name
