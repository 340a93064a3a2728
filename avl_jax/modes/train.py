"""--mode=train: trains a model, resuming where it stopped, and evaluates it."""

import contextlib
import pathlib

from clu import parameter_overview
from ml_collections import ConfigDict

from avl_jax import multihost, parallel
from avl_jax.checkpoints import checkpointer, metadata
from avl_jax.config import write_config
from avl_jax.features import word_vectors
from avl_jax.files import Lock
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.modes import evaluate
from avl_jax.modes.pipeline import InputPipeline, MetricWriter, TrainBatches
from avl_jax.modes.prepare import prepare
from avl_jax.retrieval import evaluation
from avl_jax.train import initialization, loop, preemption, timing
from avl_jax.train import step as training_step
from avl_jax.train.metrics_log import History


def train(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> None:
  """Trains from the last checkpoint if there is one; then evaluates."""
  run(config, workdir, pipeline, timing.process_start())
  evaluate.evaluate(config, workdir, pipeline)


def run(
  config: ConfigDict,
  workdir: pathlib.Path,
  pipeline: InputPipeline,
  began: float,
) -> None:
  """Trains from the last checkpoint if there is one.

  Args:
    config: of the run.
    workdir: of the run.
    pipeline: see `InputPipeline`.
    began: `time.perf_counter()` from which the run's time counts.

  Raises:
    UserError: a setting, a file or the data are not what they must be.
    Interrupted: the run was asked to stop, and its state is saved.
  """
  model = AVLnet(**config.model)
  optimizer = training_step.make_optimizer(
    **config.optimizer, num_steps=config.num_steps
  )
  step = parallel.pmap_step(
    training_step.make_step(model, optimizer, **config.loss)
  )
  clips = config.train_data.clips_per_example or 1
  parallel.check_divisible(config.train_data.batch_size * clips)
  with contextlib.ExitStack() as stack:
    lock = None
    if multihost.is_first():
      lock = stack.enter_context(Lock(workdir))
    _check_files(config, model, workdir)
    prepare(config, workdir, pipeline)
    batches = _open_batches(config, workdir, pipeline)
    description = _describe(config, batches, pipeline)
    checkpoints = stack.enter_context(
      checkpointer.Checkpoints(
        workdir if multihost.is_first() else None, description
      )
    )
    variables = _initial_variables(config, model, checkpoints, description)
    state = checkpoints.restore(
      training_step.create_state(variables, optimizer)
    )
    state = parallel.replicate(multihost.from_first(state))
    # What was logged after the last checkpoint is logged again.
    last = -1 if checkpoints.is_empty else int(state.step)
    writer = _open_writer(config, workdir, pipeline, last)
    stack.enter_context(contextlib.closing(writer))
    stop = stack.enter_context(preemption.Stop())
    clock = stack.enter_context(
      timing.Clock(
        began,
        before=checkpoints.progress.get('seconds'),
        lost=checkpoints.seconds_until(lock.last_alive if lock else None),
        heartbeat=lock.path if lock else None,
      )
    )
    evaluate_all = evaluation.make_evaluate(
      model,
      evaluate.open_evaluations(config, pipeline),
      stop.check,
      **config.eval,
    )
    loop.Loop(
      step=step,
      batches=batches.from_step,
      evaluate=lambda v: evaluation.scalars(evaluate_all(v)),
      writer=writer,
      checkpoints=checkpoints,
      clock=clock,
      stop=stop,
      num_steps=config.num_steps,
      **config.train,
    ).run(state)


def _check_files(
  config: ConfigDict, model: AVLnet, workdir: pathlib.Path
) -> None:
  """Checks files besides data before preparing data, which can take days."""
  if config.words.vectors:
    word_vectors.open_vectors(config.words.vectors)
  if not (workdir / checkpointer.FOLDER).is_dir():
    initialization.check(
      model,
      image_weights=config.image_weights,
      workdir=config.initial_workdir,
    )


def _open_batches(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> TrainBatches:
  return pipeline.train_batches(
    **config.train_data,
    seed=config.seed,
    words=config.words,
    data_dir=config.data_dir,
    bad_records_file=workdir / 'bad_records.json',
    host=multihost.this(),
  )


def _describe(
  config: ConfigDict, batches: TrainBatches, pipeline: InputPipeline
) -> dict:
  """Metadata of the run's checkpoints."""
  return metadata.describe(
    config.model,
    batches.visual_width,
    batches.fingerprint,
    seed=config.seed,
    batch_size=config.train_data.batch_size,
    best_metric=config.best_metric,
    examples=pipeline.count(
      config.train_data.datasets, config.train_data.split, config.data_dir
    ),
  )


def _initial_variables(
  config: ConfigDict,
  model: AVLnet,
  checkpoints: checkpointer.Checkpoints,
  description: dict,
) -> dict:
  """Initial variables on the first host; placeholders where one restores."""
  if not multihost.is_first() or not checkpoints.is_empty:
    # They are replaced by those of the checkpoint, or of the first host.
    variables = init_variables(model, description['visual_width'], config.seed)
  else:
    if config.initial_workdir:
      checkpoints.begin_from(checkpointer.provenance(config.initial_workdir))
    variables = initialization.begin(
      model,
      description,
      image_weights=config.image_weights,
      workdir=config.initial_workdir,
    )
  if multihost.is_first():
    print(parameter_overview.get_parameter_overview(variables['params']))
  return variables


def _open_writer(
  config: ConfigDict,
  workdir: pathlib.Path,
  pipeline: InputPipeline,
  last_step: int,
) -> MetricWriter:
  """Metric writer of the first host; a no-op writer on the others."""
  if not multihost.is_first():
    return pipeline.metric_writer(None)
  write_config(config, workdir)
  history = History(workdir / 'metrics.jsonl', last_step)
  return pipeline.metric_writer(workdir, history)
