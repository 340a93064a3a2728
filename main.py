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

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

from absl import flags, logging
from clu import metric_writers, parameter_overview
from ml_collections import ConfigDict, config_flags

import input_pipeline
from avl_jax import (
  UserError,
  checkpoint,
  comparison,
  evaluate,
  exchange,
  parallel,
  report,
  reproduce,
  train,
)
from avl_jax.files import write_atomically
from avl_jax.history import History, read_history
from avl_jax.model import AVLnet, carry_over, init_variables


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
      return ConfigDict(checkpoint.tuples(saved))
    spec = importlib.util.spec_from_file_location('config', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*([argument] if argument else []))
  except (AttributeError, SyntaxError, TypeError, ValueError) as error:
    raise UserError(f'{name} is not a config: {error}') from error


def read_arguments(argv: list[str]) -> tuple[str, ConfigDict, pathlib.Path]:
  """Mode, config with its overrides, workdir; each default from the others."""
  parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
  parser.add_argument('--mode', choices=MODES, default='train')
  parser.add_argument('--config')
  parser.add_argument('--workdir', type=pathlib.Path)
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
  return known.mode, values.config, known.workdir or run


def prepare_mode(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Makes the records that are not there yet."""
  del workdir
  input_pipeline.prepare(**config.prepare, data_dir=config.data_dir)


def train_mode(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Trains, from the last checkpoint if there is one; then evaluates."""
  run(config, workdir)
  eval_mode(config, workdir)


def run(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Trains, from the last checkpoint if there is one."""
  model = AVLnet(**config.model)
  optimizer = train.make_optimizer(
    **config.optimizer, num_steps=config.num_steps
  )
  clips = config.train_data.clips_per_example or 1
  parallel.check_divisible(config.train_data.batch_size * clips)
  prepare_mode(config, workdir)
  batches = input_pipeline.train_batches(
    **config.train_data,
    seed=config.seed,
    words=config.words,
    data_dir=config.data_dir,
  )
  evaluations = input_pipeline.eval_batches(
    **config.eval_data, words=config.words, data_dir=config.data_dir
  )
  description = checkpoint.describe(
    config.model, batches.visual_width, batches.fingerprint, config.best_metric
  )
  workdir.mkdir(parents=True, exist_ok=True)
  checkpoints = checkpoint.Checkpoints(workdir, description)
  variables = init_variables(model, batches.visual_width, config.seed)
  if config.initial_workdir and checkpoints.is_empty:
    source = checkpoint.load_variables(config.initial_workdir, description)
    variables = carry_over(source, variables)
  print(parameter_overview.get_parameter_overview(variables['params']))
  state = checkpoints.restore(train.create_state(variables, optimizer))
  history = History(workdir / 'metrics.jsonl', int(state.step))
  summaries = metric_writers.SummaryWriter(str(workdir))
  evaluate_all = evaluate.make_evaluate(model, evaluations, **config.eval)
  step = train.make_step(model, optimizer, **config.loss)
  write_atomically(workdir / 'config.json', config.to_json(indent=2) + '\n')
  writer = metric_writers.MultiWriter([summaries, history])
  with contextlib.closing(writer), contextlib.closing(checkpoints):
    train.train_and_evaluate(
      state=state,
      step=parallel.pmap_step(step),
      batches=batches.from_step,
      evaluate=lambda v: evaluate.scalars(evaluate_all(v)),
      writer=writer,
      checkpoints=checkpoints,
      num_steps=config.num_steps,
      **config.train,
    )


def eval_mode(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Evaluates the best checkpoint and writes the report."""
  model, variables, facts = checkpoint.load(workdir)
  evaluations = input_pipeline.eval_batches(
    **config.eval_data, words=config.words, data_dir=config.data_dir
  )
  results = evaluate.make_evaluate(model, evaluations, **config.eval)(variables)
  facts |= {'checkpoint': evaluate.fingerprint(variables)}
  facts |= {'recipe': config.recipe, 'seed': config.seed}
  evaluate.write_record(workdir / 'evaluation.json', results, facts)
  items = {
    name: data.media for name, data in evaluations.items() if data.has_media
  }
  notes = {key: json.dumps(value).strip('"') for key, value in facts.items()}
  history = read_history(workdir / 'metrics.jsonl')
  report.write(
    workdir, f'AVLnet: {workdir.name}', notes, results, items, history
  )
  print(f'Look at {workdir}/report.html')


def initial_model(config: ConfigDict) -> tuple[AVLnet, dict]:
  """The model of `initial_workdir`, with new text where it has none."""
  _, source, facts = checkpoint.load(config.initial_workdir)
  model = AVLnet(**config.model)
  fresh = init_variables(model, facts['visual_width'], config.seed)
  return model, carry_over(source, fresh)


def compare_mode(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Trains the runs of a comparison that are not done, and prints its table."""
  prepare_mode(config, workdir)
  evaluations = input_pipeline.eval_batches(
    **{**config.eval_data, 'evaluations': config.comparison.evaluations},
    words=config.words,
    data_dir=config.data_dir,
  )
  results = collections.defaultdict(list)
  for name, seed, settings in comparison.expand(config):
    folder = workdir / name / f'seed{seed}'
    print(f'{name}, seed {seed}: {folder}')
    if settings.num_steps:
      run(settings, folder)
      model, variables, _ = checkpoint.load(folder)
    else:
      model, variables = initial_model(settings)
    evaluate_all = evaluate.make_evaluate(model, evaluations, **settings.eval)
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
  model = exchange.import_release(
    **config.release, workdir=workdir, model=config.model
  )
  config.model.update(model)
  write_atomically(workdir / 'config.json', config.to_json(indent=2) + '\n')


def export_mode(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Writes the best checkpoint as the authors' code reads it."""
  exchange.export_release(**config.release, workdir=workdir)


def reproduce_mode(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Fills the tables of the thesis with the runs below a folder."""
  del config
  reproduce.write(workdir)


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
  mode, config, workdir = read_arguments(argv)
  if config.compilation_cache:
    parallel.cache_compilations(config.compilation_cache)
  MODES[mode](config, workdir)


if __name__ == '__main__':
  try:
    main(sys.argv)
  except UserError as error:
    sys.exit(f'error: {error}')
