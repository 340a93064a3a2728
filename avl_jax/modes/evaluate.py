"""--mode=eval: evaluates the best checkpoint of a run, writes its report."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from avl_jax import multihost
from avl_jax.checkpoints import loading
from avl_jax.modes.pipeline import InputPipeline
from avl_jax.reports import retrieval_report
from avl_jax.retrieval import evaluation
from avl_jax.retrieval.evaluation import EvalBatches
from avl_jax.train.metrics_log import read_history


def evaluate(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> None:
  """Evaluates the best checkpoint; writes evaluation.json and the report."""
  multihost.wait('training')  # All hosts see the same folders.
  model, variables, facts = loading.load(workdir)
  evaluations = open_evaluations(config, pipeline)
  results = evaluation.make_evaluate(model, evaluations, **config.eval)(
    variables
  )
  if not multihost.is_first():
    return
  facts |= {'checkpoint': evaluation.fingerprint(variables)}
  facts |= {'recipe': config.recipe, 'seed': config.seed}
  evaluation.write_record(workdir / 'evaluation.json', results, facts)
  retrieval_report.write(
    workdir,
    f'AVLnet: {workdir.name}',
    {key: json.dumps(value).strip('"') for key, value in facts.items()},
    results,
    evaluation.media_of(evaluations),
    read_history(workdir / 'metrics.jsonl'),
  )
  print(f'Report: {workdir}/report.html')


def open_evaluations(
  config: ConfigDict, pipeline: InputPipeline, **changes: Any
) -> Mapping[str, EvalBatches]:
  """Opens the batches of each evaluation of `config.eval_data`.

  Args:
    config: of the run.
    pipeline: see `InputPipeline`.
    **changes: keys of `config.eval_data` that have other values here.
  """
  return pipeline.eval_batches(
    **{**config.eval_data, **changes},
    words=config.words,
    data_dir=config.data_dir,
    host=multihost.this(),
  )
