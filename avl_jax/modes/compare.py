"""--mode=compare: trains the runs of a comparison, evaluates them alike."""

import collections
import pathlib
import time

from ml_collections import ConfigDict

from avl_jax.checkpoints import checkpointer
from avl_jax.models.avlnet import AVLnet, carry_over, init_variables
from avl_jax.modes import evaluate, train
from avl_jax.modes.pipeline import InputPipeline
from avl_jax.modes.prepare import prepare
from avl_jax.reports import comparison
from avl_jax.retrieval import evaluation


def compare(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> None:
  """Trains the runs that are not done; prints and writes the comparison."""
  prepare(config, workdir, pipeline)
  evaluations = evaluate.open_evaluations(
    config, pipeline, evaluations=config.comparison.evaluations
  )
  results = collections.defaultdict(list)
  for name, seed, settings in comparison.expand(config):
    folder = workdir / name / f'seed{seed}'
    print(f'{name}, seed {seed}: {folder}')
    if settings.num_steps:
      train.run(settings, folder, pipeline, time.perf_counter())
      model, variables, _ = checkpointer.load(folder)
    else:
      model, variables = _initial_model(settings)
    evaluate_all = evaluation.make_evaluate(model, evaluations, **settings.eval)
    results[name].append(evaluate_all(variables))
  comparison.write(
    workdir,
    results,
    evaluate.media_of(evaluations),
    side_by_side=config.comparison.side_by_side,
    curve=config.comparison.curve,
    amount=config.comparison.amount,
  )
  print(f'Report: {workdir}/report.html')


def _initial_model(config: ConfigDict) -> tuple[AVLnet, dict]:
  """The model of `initial_workdir`, with a new text branch if it has none."""
  _, source, facts = checkpointer.load(config.initial_workdir)
  model = AVLnet(**config.model)
  fresh = init_variables(model, facts['visual_width'], config.seed)
  return model, carry_over(source, fresh)
