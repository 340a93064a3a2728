"""--mode=train: trains a model, resuming where it stopped, and evaluates it."""

import contextlib
import pathlib
from collections.abc import Callable, Mapping

import optax
from clu import parameter_overview
from ml_collections import ConfigDict

from avl_jax import logs, losses, multihost, parallel
from avl_jax.backbones import resnet
from avl_jax.checkpoints import checkpointer, loading, metadata
from avl_jax.config import write_config
from avl_jax.features import word_vectors
from avl_jax.files import Lock
from avl_jax.models.avlnet import AVLnet
from avl_jax.modes import evaluate, starts
from avl_jax.modes.pipeline import InputPipeline, MetricWriter, TrainBatches
from avl_jax.modes.prepare import prepare
from avl_jax.retrieval import embedding, evaluation
from avl_jax.train import event_files, initialization, loop, timing
from avl_jax.train import optimizer as optimizers
from avl_jax.train import step as training_step
from avl_jax.train.metrics_log import History
from avl_jax.train.objective import check_score_rows
from avl_jax.train.preemption import Stop

_OF_STEP = ('frozen', 'pieces', 'score_rows')  # of config.train; others: loop


def train(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> None:
  """Trains from the last checkpoint if there is one; then evaluates."""
  run(config, workdir, pipeline, timing.process_start())
  if config.eval_data.evaluations:
    evaluate.evaluate(config, workdir, pipeline)
  else:
    logs.write('Nothing was evaluated: eval_data.evaluations is empty.')


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
  embedding.in_dtype(model, config.eval_dtype)  # Raises before data are opened.
  schedule = {**config.optimizer, 'num_steps': config.num_steps}
  optimizer = optimizers.make_optimizer(**schedule)
  clips = config.train_data.clips_per_example or 1
  step = _make_step(config, model, optimizer, clips)
  _check_sizes(config, config.train_data.batch_size * clips)
  with contextlib.ExitStack() as stack:
    lock = None
    if multihost.is_first():
      lock = stack.enter_context(Lock(workdir))
      config = starts.continued(config, workdir)
    pretrained = _load_pretrained(config, model, workdir)
    prepare(config, workdir, pipeline)
    batches = _open_batches(config, workdir, pipeline, stack)
    description = _describe(config, batches, pipeline)
    checkpoints = stack.enter_context(
      checkpointer.Checkpoints(
        workdir if multihost.is_first() else None, description
      )
    )
    state = _first_state(
      config, model, optimizer, description, checkpoints, pretrained
    )
    # What was logged after the last checkpoint is logged again.
    last = -1 if checkpoints.is_empty else int(state.step)
    writer = _open_writer(config, workdir, pipeline, last)
    stack.enter_context(contextlib.closing(writer))
    stop = stack.enter_context(Stop())
    clock = stack.enter_context(_start_clock(began, checkpoints, lock))
    loop.Loop(
      step=step,
      batches=batches.from_step,
      evaluate=_make_evaluate(config, model, pipeline, stop, description),
      writer=writer,
      checkpoints=checkpoints,
      clock=clock,
      stop=stop,
      num_steps=config.num_steps,
      learning_rate=optimizers.make_learning_rate(**schedule),
      **{k: v for k, v in config.train.items() if k not in _OF_STEP},
    ).run(state)


def _check_sizes(config: ConfigDict, clips: int) -> None:
  """Raises UserError unless a batch of so many clips can be divided."""
  parallel.check_divisible(clips, pieces=config.train.pieces)
  check_score_rows(clips // len(parallel.devices()), config.train.score_rows)


def _make_step(
  config: ConfigDict,
  model: AVLnet,
  optimizer: optax.GradientTransformation,
  clips_per_video: int,
) -> Callable:
  """The training step, mapped over the devices."""
  step = training_step.make_step(
    model,
    optimizer,
    clips_per_video=clips_per_video,
    seed=config.seed,
    **{key: config.train[key] for key in _OF_STEP},
    **config.loss,
  )
  return parallel.pmap_step(step)


def _load_pretrained(
  config: ConfigDict, model: AVLnet, workdir: pathlib.Path
) -> initialization.Pretrained | None:
  """Checks and loads the weights of a new run, before data preparation.

  Returns:
    None in a run that resumes, and in all processes but the first, which get
    the first's variables.
  """
  if config.words.vectors:
    word_vectors.open_vectors(config.words.vectors)
  if not multihost.is_first() or loading.has_checkpoint(workdir):
    return None
  return initialization.load_pretrained(
    model,
    image_weights=config.image_weights,
    initial_workdir=config.initial_workdir,
    frozen=config.train.frozen,
  )


def _open_batches(
  config: ConfigDict,
  workdir: pathlib.Path,
  pipeline: InputPipeline,
  stack: contextlib.ExitStack,
) -> TrainBatches:
  batches = pipeline.train_batches(
    **config.train_data,
    seed=config.seed,
    words=config.words,
    data_dir=config.data_dir,
    bad_records_file=workdir / 'bad_records.json',
    host=multihost.this(),
  )
  stack.callback(batches.close)
  return batches


def _describe(
  config: ConfigDict, batches: TrainBatches, pipeline: InputPipeline
) -> dict:
  """Metadata of the run's checkpoints."""
  return metadata.describe(
    config.model,
    batches.visual_width or resnet.WIDTH,  # None: the batches have images
    batches.fingerprint,
    seed=config.seed,
    batch_size=config.train_data.batch_size,
    best_metric=config.best_metric,
    examples=pipeline.count(
      config.train_data.datasets, config.train_data.split, config.data_dir
    ),
    learnt=losses.initial_values(**config.loss),
    networks=batches.networks,
  )


def _first_state(
  config: ConfigDict,
  model: AVLnet,
  optimizer: optax.GradientTransformation,
  description: dict,
  checkpoints: checkpointer.Checkpoints,
  pretrained: initialization.Pretrained | None,
) -> training_step.TrainState:
  """State of the last checkpoint, or a new one; the same on all devices."""
  if pretrained:
    checkpoints.set_initial_provenance(pretrained.provenance)
  learnt = losses.initial_values(**config.loss)
  variables = initialization.initialize(model, description, pretrained, learnt)
  if multihost.is_first():
    print(parameter_overview.get_parameter_overview(variables['params']))
  state = checkpoints.restore(training_step.create_state(variables, optimizer))
  return parallel.replicate(multihost.from_first(state))


def _start_clock(
  began: float, checkpoints: checkpointer.Checkpoints, lock: Lock | None
) -> timing.Clock:
  """Clock that resumes counting; touches the file of the lock as heartbeat."""
  return timing.Clock(
    began,
    before=checkpoints.progress.get('seconds'),
    lost=checkpoints.seconds_until(lock.last_alive if lock else None),
    heartbeat=lock.path if lock else None,
  )


def _make_evaluate(
  config: ConfigDict,
  model: AVLnet,
  pipeline: InputPipeline,
  stop: Stop,
  description: dict,
) -> Callable[[Mapping], dict[str, float]]:
  """Returns evaluate(variables) -> metrics by name, interrupted by `stop`."""
  evaluations = evaluate.open_evaluations(config, pipeline)
  evaluate.check_networks(description, evaluations, 'The model of this run')
  evaluate_all = evaluation.make_evaluate(
    embedding.in_dtype(model, config.eval_dtype),
    evaluations,
    stop.check,
    **config.eval,
  )
  return lambda variables: evaluation.scalars(evaluate_all(variables))


def _open_writer(
  config: ConfigDict,
  workdir: pathlib.Path,
  pipeline: InputPipeline,
  last_step: int,
) -> MetricWriter:
  """Metric writer of the first host; a no-op writer on the others."""
  if not multihost.is_first():
    return pipeline.metric_writer(None)
  starts.keep(config, workdir, max(last_step, 0))
  write_config(config, workdir)
  history = History(workdir / 'metrics.jsonl', last_step)
  event_files.drop_later(workdir, last_step)
  return pipeline.metric_writer(workdir, history)
