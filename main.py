"""Trains, evaluates and prepares data for AVLnet.

  python main.py --config=configs/stamps.py --workdir=runs/stamps
  python main.py --mode=eval --workdir=runs/stamps
  python main.py --mode=compare --config=configs/finetune.py:stamps_fr
  python main.py --mode=import --config.release.file=AVLnet_release.pth

Any key of the config can be set: --config.model.embed_dim=512.
"""

import argparse
import pathlib
import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
  sys.exit(
    'avl-jax needs Python 3.11, 3.12 or 3.13. This is Python '
    f'{sys.version_info[0]}.{sys.version_info[1]}.'
  )

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

import input_pipeline
from avl_jax import config_checks, multihost, parallel
from avl_jax.config import FILE, read_config
from avl_jax.errors import UserError
from avl_jax.modes import compare, convert, evaluate, prepare, reproduce, train
from avl_jax.train.preemption import Interrupted

# Each takes (config, workdir, input_pipeline).
MODES = {
  'train': train.train,
  'eval': evaluate.evaluate,
  'prepare': prepare.prepare,
  'compare': compare.compare,
  'import': convert.import_mode,
  'export': convert.export_mode,
  'reproduce': reproduce.reproduce,
}


def read_arguments(
  argv: list[str],
) -> tuple[argparse.Namespace, ConfigDict, pathlib.Path]:
  """Reads options, the config with its overrides, and the workdir.

  Raises:
    UserError: an argument is unknown or its value not possible.
  """
  parser = argparse.ArgumentParser(
    description=__doc__,
    allow_abbrev=False,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--mode', choices=MODES, default='train')
  parser.add_argument('--config')
  parser.add_argument('--workdir', type=pathlib.Path)
  add = parser.add_argument_group('several hosts without srun').add_argument
  add('--coordinator', default='', help='HOST:PORT where process 0 listens')
  add('--num_processes', type=int)
  add('--process_id', type=int)
  options, overrides = parser.parse_known_args(argv[1:])
  name = options.config or 'configs/avlnet.py'
  if options.workdir and not options.config:
    saved = options.workdir / FILE
    name = str(saved) if saved.is_file() else name
  config = _override(read_config(name), [argv[0], *overrides])
  config_checks.check(config)
  return options, config, options.workdir or _default_workdir(name)


def _override(config: ConfigDict, argv: list[str]) -> ConfigDict:
  """The config with the values of '--config.KEY=VALUE' arguments."""
  values = flags.FlagValues()
  try:
    config_flags.DEFINE_config_dict(
      'config', config, flag_values=values, sys_argv=argv
    )
    _, *unknown = values(argv)
  except (AttributeError, KeyError, flags.Error) as error:
    raise UserError(f'Invalid arguments: {error}') from error
  if unknown:
    raise UserError(f'Unknown arguments: {" ".join(unknown)}. See --help.')
  return values.config


def _default_workdir(name: str) -> pathlib.Path:
  """'runs/stamps_es' of 'configs/stamps.py:es'; the folder of a config.json."""
  file, _, argument = name.partition(':')
  if file.endswith('.json'):
    return pathlib.Path(file).parent
  run = pathlib.Path('runs') / pathlib.Path(file).stem
  return run.with_name(f'{run.name}_{argument}') if argument else run


def main(argv: list[str]) -> None:
  """Reads the arguments and runs the mode."""
  logging.set_verbosity(logging.ERROR)  # Orbax and TFDS log much else.
  options, config, workdir = read_arguments(argv)
  multihost.connect(
    options.coordinator, options.num_processes, options.process_id
  )
  if config.compilation_cache:
    parallel.cache_compilations(config.compilation_cache)
  with multihost.together():
    MODES[options.mode](config, workdir, input_pipeline)
    multihost.wait('the end')


if __name__ == '__main__':
  try:
    main(sys.argv)
  except Interrupted as interrupted:
    print(interrupted, file=sys.stderr)
    sys.exit(interrupted.exit_code)
  except KeyboardInterrupt:
    sys.exit(130)
  except (UserError, input_pipeline.EventFileError) as error:
    multihost.leave(f'error: {error}')
