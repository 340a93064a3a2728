"""--mode=eval: evaluates the best checkpoint of a run, writes its report."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from avl_jax import later_keys, multihost
from avl_jax.checkpoints import loading, metadata
from avl_jax.errors import ConfigError
from avl_jax.models.avlnet import AVLnet
from avl_jax.modes.pipeline import InputPipeline
from avl_jax.reports import retrieval_report
from avl_jax.retrieval import embedding, evaluation
from avl_jax.retrieval.evaluation import EvalBatches, Retrieval
from avl_jax.train.metrics_log import read_history


def evaluate(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> None:
  """Evaluates the best checkpoint; writes evaluation.json and the report.

  Raises:
    CheckpointError: there is no checkpoint, or the best one is damaged.
    ConfigError: there is nothing to evaluate; what an earlier evaluation wrote
      stays.
  """
  multihost.wait('training')  # All hosts see the same folders.
  trained = loading.load(workdir)
  _, variables, facts = trained
  check_not_empty(config, 'eval_data')
  evaluations = open_evaluations(config, pipeline)
  results = evaluate_variables(
    config, trained, evaluations, f'The model of {workdir}'
  )
  if not multihost.is_first():
    return
  facts |= {'checkpoint': evaluation.fingerprint(variables)}
  facts |= {'recipe': config.recipe, 'seed': config.seed}
  evaluation.write_record(workdir / 'evaluation.json', results, facts)
  videos = {name: each.num_videos for name, each in evaluations.items()}
  retrieval_report.write(
    workdir,
    f'AVLnet: {workdir.name}',
    {
      key: json.dumps(value).strip('"')
      for key, value in facts.items()
      if value != {}
    },
    results,
    evaluation.media_of(evaluations),
    read_history(workdir / 'metrics.jsonl'),
    videos,
  )
  print(f'\n{_which(facts)}\n\n{retrieval_report.scores(results).markdown()}')
  for sentence in retrieval_report.galleries(results, videos):
    print(sentence)
  print(f'\nReport: {workdir}/report.html')


def evaluate_variables(
  config: ConfigDict,
  trained: tuple[AVLnet, Mapping, Mapping],
  evaluations: Mapping[str, EvalBatches],
  name: str,
) -> list[Retrieval]:
  """Evaluates a model on every task of a config.

  Args:
    config: of the model's run.
    trained: the model, its variables and metadata, as `loading.load` returns.
    evaluations: see `open_evaluations`.
    name: of the model, for messages.

  Raises:
    CheckpointError: the features are of other networks than the model's.
  """
  model, variables, facts = trained
  check_networks(facts, evaluations, name)
  model = embedding.in_dtype(model, config.eval_dtype)
  return evaluation.make_evaluate(model, evaluations, **config.eval)(variables)


def _which(facts: Mapping[str, Any]) -> str:
  """Sentences about the checkpoint: its step, and whether it was trained."""
  facts = later_keys.complete_metadata(facts)
  step, metric = facts['step'], facts['best_metric']
  chosen = f'the best by {metric}' if metric else 'the last'
  text = f'Scores of step {step}, {chosen}.'
  if step or not facts['batch_size']:  # An imported model has no batches.
    return text
  start = 'as its initial workdir left it' if facts['initial'] else 'untrained'
  text += f' That is the model before the first step, {start}.'
  return f'{text} No later step was better.' if metric else text


def check_networks(
  facts: Mapping[str, Any], evaluations: Mapping[str, EvalBatches], name: str
) -> None:
  """Checks that evaluations have features of the networks of a model.

  Args:
    facts: metadata of the model's checkpoint.
    evaluations: name -> batches.
    name: of the model, for the message.

  Raises:
    CheckpointError: they have those of another network.
  """
  for batches in evaluations.values():
    metadata.check_networks(facts, {'networks': batches.networks}, name)


def check_not_empty(config: ConfigDict, part: str) -> None:
  """Raises ConfigError if a config names no evaluations or no tasks.

  Args:
    config: of the run.
    part: that holds the evaluations, 'eval_data' or 'comparison'.
  """
  for key in (f'{part}.evaluations', 'eval.tasks'):
    outer, inner = key.split('.')
    if not config[outer][inner]:
      raise ConfigError(
        f'There is nothing to evaluate: {key} is empty. Name a config in which '
        'it is not, such as --config=configs/stamps.py. The files in the '
        'workdir stay as they are.'
      )


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
