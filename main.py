"""Trains, evaluates and prepares data for AVLnet.

  python main.py --config=configs/stamps.py --workdir=runs/stamps
  python main.py --mode=eval --workdir=runs/stamps
  python main.py --mode=compare --config=configs/finetune.py:stamps_fr
  python main.py --mode=import --config.release.file=AVLnet_release.pth

Any key of the config can be set: --config.model.embed_dim=512.
"""

import argparse
import collections
import contextlib
import importlib.util
import json
import os
import pathlib
import sys
import time
from typing import Any

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')  # It only moves data here.

from absl import flags, logging
from clu import metric_writers, parameter_overview
from ml_collections import ConfigDict, config_flags
from tensorflow import errors

import input_pipeline
from avl_jax import multihost, parallel
from avl_jax.backbones import resnet
from avl_jax.checkpoints import checkpointer, metadata
from avl_jax.errors import UserError
from avl_jax.features import word_vectors
from avl_jax.files import Lock, write_atomically
from avl_jax.models.avlnet import AVLnet, carry_over, init_variables
from avl_jax.modes import convert
from avl_jax.reports import comparison, reproduction, retrieval_report
from avl_jax.retrieval import evaluation
from avl_jax.train import initialization, loop, preemption, timing
from avl_jax.train import step as training_step
from avl_jax.train.metrics_log import History, read_history
from input_pipeline.records import catalog


def read_config(name: str) -> ConfigDict:
  """The config of 'configs/stamps.py:es', or of the config.json of a run."""
  path, _, argument = name.partition(':')
  if not pathlib.Path(path).is_file():
    raise UserError(
      f'no config {path}: expected a file such as configs/stamps.py, or the '
      'config.json of a run'
    )
  try:
    if path.endswith('.json'):
      saved = json.loads(pathlib.Path(path).read_text())
      return ConfigDict(metadata.tuples(saved))
    spec = importlib.util.spec_from_file_location('config', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*([argument] if argument else []))
  except (AttributeError, SyntaxError, TypeError, ValueError) as error:
    raise UserError(f'{name} is not a config: {error}') from error


def read_arguments(
  argv: list[str],
) -> tuple[argparse.Namespace, ConfigDict, pathlib.Path]:
  """Options, config with its overrides, workdir; defaults from each other."""
  parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
  parser.add_argument('--mode', choices=MODES, default='train')
  parser.add_argument('--config')
  parser.add_argument('--workdir', type=pathlib.Path)
  add = parser.add_argument_group('several hosts without srun').add_argument
  add('--coordinator', default='', help='HOST:PORT where process 0 listens')
  add('--num_processes', type=int)
  add('--process_id', type=int)
  known, overrides = parser.parse_known_args(argv[1:])
  name = known.config or 'configs/avlnet.py'
  if known.workdir and not known.config:
    saved = known.workdir / 'config.json'
    name = str(saved) if saved.is_file() else name
  file, _, argument = name.partition(':')
  run = pathlib.Path('runs') / pathlib.Path(file).stem
  if argument:
    run = run.with_name(f'{run.name}_{argument}')
  if file.endswith('.json'):
    run = pathlib.Path(file).parent
  values = flags.FlagValues()
  arguments = [argv[0], *overrides]
  try:
    config_flags.DEFINE_config_dict(
      'config', read_config(name), flag_values=values, sys_argv=arguments
    )
    _, *unknown = values(arguments)
  except (AttributeError, KeyError, flags.Error) as error:
    raise UserError(f'the arguments are not right: {error}') from error
  if unknown:
    raise UserError(f'unknown arguments: {" ".join(unknown)}; see --help')
  return known, values.config, known.workdir or run


def prepare_mode(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Makes the records that are not there yet."""
  del workdir
  for turn in (multihost.is_first(), not multihost.is_first()):
    if turn:  # The others find what the first has made.
      input_pipeline.prepare(**config.prepare, data_dir=config.data_dir)
    multihost.wait('prepare')


def train_mode(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Trains, from the last checkpoint if there is one; then evaluates."""
  run(config, workdir, timing.process_start())
  eval_mode(config, workdir)


def run(config: ConfigDict, workdir: pathlib.Path, began: float) -> None:
  """Trains, from the last checkpoint if there is one.

  Args:
    config: of the run.
    workdir: of the run.
    began: `time.perf_counter()` from which the run's time counts.
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
    lock = stack.enter_context(
      Lock(workdir) if multihost.is_first() else contextlib.nullcontext()
    )
    check_sources(config, model, workdir)
    prepare_mode(config, workdir)
    batches = open_batches(config, workdir)
    description = metadata.describe(
      config.model,
      batches.visual_width or resnet.WIDTH,  # None: the batches have images
      batches.fingerprint,
      seed=config.seed,
      batch_size=config.train_data.batch_size,
      best_metric=config.best_metric,
      examples=catalog.count(
        config.train_data.datasets, config.train_data.split, config.data_dir
      ),
    )
    checkpoints = stack.enter_context(
      checkpointer.Checkpoints(
        workdir if multihost.is_first() else None, description
      )
    )
    if config.initial_workdir and multihost.is_first() and checkpoints.is_empty:
      checkpoints.begin_from(checkpointer.provenance(config.initial_workdir))
    variables = initial_variables(config, checkpoints, description)
    state = checkpoints.restore(
      training_step.create_state(variables, optimizer)
    )
    state = parallel.replicate(multihost.from_first(state))
    # What was logged after the last checkpoint comes again.
    last = -1 if checkpoints.is_empty else int(state.step)
    writer = open_writer(config, workdir, last)
    stack.enter_context(contextlib.closing(writer))
    stop = stack.enter_context(preemption.Stop())
    evaluate_all = evaluation.make_evaluate(
      model, open_evaluations(config), stop.check, **config.eval
    )
    clock = stack.enter_context(
      timing.Clock(
        began,
        before=checkpoints.progress.get('seconds'),
        lost=checkpoints.seconds_until(lock and lock.last_alive),
        heartbeat=lock and lock.path,
      )
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


def check_sources(
  config: ConfigDict, model: AVLnet, workdir: pathlib.Path
) -> None:
  """That what a run takes besides data is there, before days of preparing."""
  if config.words.vectors:
    word_vectors.open_vectors(config.words.vectors)
  if not (workdir / checkpointer.FOLDER).is_dir():
    initialization.check(
      model,
      image_weights=config.image_weights,
      workdir=config.initial_workdir,
    )


def open_batches(
  config: ConfigDict, workdir: pathlib.Path
) -> input_pipeline.TrainBatches:
  """This host's batches of training."""
  return input_pipeline.train_batches(
    **config.train_data,
    seed=config.seed,
    words=config.words,
    data_dir=config.data_dir,
    bad_records_file=workdir / 'bad_records.json',
    host=multihost.this(),
  )


def open_evaluations(config: ConfigDict, **changes: Any) -> dict:
  """The batches of each evaluation of a config's `eval_data`."""
  return input_pipeline.eval_batches(
    **{**config.eval_data, **changes},
    words=config.words,
    data_dir=config.data_dir,
    host=multihost.this(),
  )


def initial_variables(
  config: ConfigDict, checkpoints: checkpointer.Checkpoints, description: dict
) -> dict:
  """Random variables, or, where nothing is restored, what `initial` makes."""
  model = AVLnet(**config.model)
  if multihost.is_first() and checkpoints.is_empty:
    variables = initialization.begin(
      model,
      description,
      image_weights=config.image_weights,
      workdir=config.initial_workdir,
    )
  else:  # The others get those of the first.
    variables = init_variables(model, description['visual_width'], config.seed)
  if not multihost.is_first():
    return variables
  print(parameter_overview.get_parameter_overview(variables['params']))
  return variables


def open_writer(
  config: ConfigDict, workdir: pathlib.Path, last_step: int
) -> metric_writers.MetricWriter:
  """Where metrics go; on all hosts but the first, nowhere."""
  if not multihost.is_first():
    return metric_writers.MultiWriter([])
  write_atomically(workdir / 'config.json', config.to_json(indent=2) + '\n')
  history = History(workdir / 'metrics.jsonl', last_step)
  summaries = metric_writers.SummaryWriter(str(workdir))
  return metric_writers.MultiWriter([history, summaries])


def eval_mode(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Evaluates the best checkpoint and writes the report."""
  multihost.wait('training')  # All hosts see the same folders.
  model, variables, facts = checkpointer.load(workdir)
  evaluations = open_evaluations(config)
  results = evaluation.make_evaluate(model, evaluations, **config.eval)(
    variables
  )
  if not multihost.is_first():
    return
  facts |= {'checkpoint': evaluation.fingerprint(variables)}
  facts |= {'recipe': config.recipe, 'seed': config.seed}
  evaluation.write_record(workdir / 'evaluation.json', results, facts)
  items = {
    name: data.media for name, data in evaluations.items() if data.has_media
  }
  notes = {key: json.dumps(value).strip('"') for key, value in facts.items()}
  history = read_history(workdir / 'metrics.jsonl')
  retrieval_report.write(
    workdir, f'AVLnet: {workdir.name}', notes, results, items, history
  )
  print(f'Look at {workdir}/report.html')


def initial_model(config: ConfigDict) -> tuple[AVLnet, dict]:
  """The model of `initial_workdir`, with new text where it has none."""
  _, source, facts = checkpointer.load(config.initial_workdir)
  model = AVLnet(**config.model)
  fresh = init_variables(model, facts['visual_width'], config.seed)
  return model, carry_over(source, fresh)


def compare_mode(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Trains the runs of a comparison that are not done, and prints its table."""
  prepare_mode(config, workdir)
  evaluations = open_evaluations(
    config, evaluations=config.comparison.evaluations
  )
  results = collections.defaultdict(list)
  for name, seed, settings in comparison.expand(config):
    folder = workdir / name / f'seed{seed}'
    print(f'{name}, seed {seed}: {folder}')
    if settings.num_steps:
      run(settings, folder, time.perf_counter())
      model, variables, _ = checkpointer.load(folder)
    else:
      model, variables = initial_model(settings)
    evaluate_all = evaluation.make_evaluate(model, evaluations, **settings.eval)
    results[name].append(evaluate_all(variables))
  items = {
    name: data.media for name, data in evaluations.items() if data.has_media
  }
  comparison.write(
    workdir,
    results,
    items,
    side_by_side=config.comparison.side_by_side,
    curve=config.comparison.curve,
    amount=config.comparison.amount,
  )
  print(f'Look at {workdir}/report.html')


def import_mode(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Makes a run of a checkpoint of the authors."""
  model = convert.import_release(
    **config.release, workdir=workdir, model=config.model
  )
  config.model.update(model)
  write_atomically(workdir / 'config.json', config.to_json(indent=2) + '\n')


def export_mode(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Writes the best checkpoint as the authors' code reads it."""
  convert.export_release(**config.release, workdir=workdir)


def reproduce_mode(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Fills the tables of the thesis with the runs below a folder."""
  del config
  reproduction.write(workdir)


MODES = {
  'train': train_mode,
  'eval': eval_mode,
  'prepare': prepare_mode,
  'compare': compare_mode,
  'import': import_mode,
  'export': export_mode,
  'reproduce': reproduce_mode,
}


def main(argv: list[str]) -> None:
  """Reads the arguments, runs the mode."""
  logging.set_verbosity(logging.ERROR)  # Orbax and TFDS say much else.
  options, config, workdir = read_arguments(argv)
  multihost.connect(
    options.coordinator, options.num_processes, options.process_id
  )
  if config.compilation_cache:
    parallel.cache_compilations(config.compilation_cache)
  with multihost.together():
    MODES[options.mode](config, workdir)
    multihost.wait('the end')


if __name__ == '__main__':
  try:
    main(sys.argv)
  except preemption.Interrupted as interrupted:
    print(interrupted, file=sys.stderr)
    sys.exit(interrupted.exit_code)
  except KeyboardInterrupt:
    sys.exit(130)
  except (
    UserError,
    errors.OpError,
  ) as error:  # OpError: of TensorBoard's file.
    multihost.leave(f'error: {error}')
