"""Trains, evaluates and prepares data for AVLnet, and searches with it.

  python main.py --config=configs/stamps.py --workdir=runs/stamps
  python main.py --mode=eval --workdir=runs/stamps
  python main.py --mode=import --config.release.file=AVLnet_release.pth

Any key of the config can be set: --config.model.embed_dim=512.
"""

import argparse
import os
import pathlib
import signal
import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
  found = sys.version.split()[0]
  sys.exit(f'avl-jax needs Python 3.11, 3.12 or 3.13. This is {found}.')
if __name__ == '__main__':  # Ctrl-C during the imports: no traceback.
  STOPPED = b'Stopped by SIGINT. Run the command again.\n'
  signal.signal(signal.SIGINT, lambda *_: (os.write(2, STOPPED), os._exit(130)))

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from avl_jax import config as configs
from avl_jax import config_checks
from avl_jax.errors import Interrupted, UserError

MODES = {
  'train': 'train, or resume a run; then evaluate',
  'eval': 'evaluate the best checkpoint of a run',
  'prepare': 'make the records of the data sets',
  'compare': 'train and compare several runs',
  'import': "make a run of the authors' checkpoint",
  'export': "write a run as the authors' checkpoint",
  'reproduce': "fill the thesis' tables with runs",
  'index': 'index a folder of media with the model of a run',
  'search': 'query an index by voice, or with a picture',
  'serve': 'the page: query an index in a browser',
}


def read_arguments(
  argv: list[str],
) -> tuple[argparse.Namespace, ConfigDict, pathlib.Path]:
  """Reads options, the config with its overrides, and the workdir.

  Raises:
    UserError: an argument is unknown or its value not possible.
  """
  modes = '\n'.join(f'  {name:10} {text}' for name, text in MODES.items())
  parser = argparse.ArgumentParser(
    description=f'{__doc__}\nmodes:\n{modes}',
    allow_abbrev=False,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add('--mode', choices=MODES, default='train', help='see above; train')
  add('--config', help='FILE.py, FILE.py:ARGUMENT or the config.json of a run')
  add('--workdir', help='folder of the run, with its config.json')
  add = parser.add_argument_group('several hosts without srun').add_argument
  add('--coordinator', default='', help='HOST:PORT where process 0 listens')
  add('--num_processes', type=int)
  add('--process_id', type=int, help='from 0')
  options, overrides = parser.parse_known_args(argv[1:])
  name = configs.choose(options.config, options.workdir, options.mode)
  workdir = pathlib.Path(options.workdir or configs.default_workdir(name))
  config = _override(configs.read_config(name), [argv[0], *overrides])
  config_checks.check(config)
  return options, config, workdir.expanduser()


def _override(config: ConfigDict, argv: list[str]) -> ConfigDict:
  """The config with the values of '--config.KEY=VALUE' arguments."""
  values = flags.FlagValues()
  try:
    define = config_flags.DEFINE_config_dict
    define('config', config, flag_values=values, sys_argv=argv)
    _, *unknown = values(argv)
  except (AttributeError, KeyError, flags.Error) as error:
    expected = configs.choices(config, argv)
    raise UserError(f'Invalid arguments: {error}{expected}') from error
  if unknown:
    raise UserError(f'Unknown arguments: {" ".join(unknown)}. See --help.')
  return configs.expand_home(values.config)


def main(argv: list[str]) -> None:
  """Reads the arguments and runs the mode."""
  logging.set_verbosity(logging.ERROR)  # Orbax and TFDS log much else.
  options, config, workdir = read_arguments(argv)
  # After the arguments, because these imports take seconds.
  import input_pipeline
  from avl_jax import compilation, modes, multihost

  if __name__ == '__main__':
    signal.signal(signal.SIGINT, signal.default_int_handler)
  compilation.set_up(config.compilation_cache)
  multihost.connect(
    options.coordinator, options.num_processes, options.process_id
  )
  with multihost.together(input_pipeline.EventFileError):
    modes.FUNCTIONS[options.mode](config, workdir, input_pipeline)
    multihost.wait('the end')


if __name__ == '__main__':
  try:
    main(sys.argv)
  except Interrupted as interrupted:
    print(interrupted, file=sys.stderr)
    sys.exit(interrupted.exit_code)
  except KeyboardInterrupt:
    print('Stopped by SIGINT. Run the command again.', file=sys.stderr)
    sys.exit(130)
  except UserError as error:
    multihost = sys.modules.get('avl_jax.multihost')
    (multihost.leave if multihost else sys.exit)(f'error: {error}')
