"""Configs of runs: reading them from Python or JSON, writing them as JSON."""

import difflib
import importlib.util
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from avl_jax import later_keys
from avl_jax.errors import ConfigError
from avl_jax.files import write_atomically

FILE = 'config.json'  # in the workdir of a run
DEFAULT = 'configs/avlnet.py'
# Of main.py and configs/, for when the program starts in another folder.
ROOT = pathlib.Path(__file__).parents[1]
_PATHS = (  # keys that name files and folders
  *('data_dir', 'image_weights', 'initial_workdir', 'release.file'),
  *('prepare.media_dir', 'prepare.resnet152', 'prepare.resnext101'),
  *('words.vectors', 'search.media_dir', 'search.index'),
  *('search.query', 'serve.token_file', 'serve.cache_dir'),
)
# Modes that take the config of the run in the workdir.
OF_A_RUN = ('train', 'eval', 'prepare', 'compare', 'index', 'search', 'serve')


def choose(name: str | None, workdir: str | None, mode: str) -> str:
  """Name of the config for `read_config`: the given one, the run's, or DEFAULT.

  Args:
    name: that the user gave; None: none.
    workdir: likewise.
    mode: of main.py.

  Raises:
    ConfigError: the mode is of a run, and the workdir has no config.json; or
      the workdir's name is not UTF-8, which event files cannot have.
  """
  try:
    (workdir or '').encode()
  except UnicodeEncodeError as error:
    raise ConfigError(
      f'The name of the workdir is {workdir!a}. Expected a name in UTF-8, '
      'because event files can have no other. Choose another --workdir.'
    ) from error
  if name or not workdir:
    return name or DEFAULT
  folder = pathlib.Path(workdir).expanduser()
  if (folder / FILE).is_file():
    return str(folder / FILE)
  if mode not in OF_A_RUN:
    return DEFAULT
  missing = f'no {FILE} in {folder}'
  if not (folder / 'checkpoints').is_dir():
    missing = f'no checkpoint in {folder}, and no {FILE}'
  raise ConfigError(
    f'There is {missing}. Expected the workdir of a run. Correct --workdir, or '
    'name the config of the run too, such as --config=configs/stamps.py.'
  )


def default_workdir(name: str) -> pathlib.Path:
  """'runs/stamps_es' of 'configs/stamps.py:es'; the folder of a config.json."""
  if name.endswith('.json'):
    return pathlib.Path(name).parent
  file, argument = _split(name)
  run = pathlib.Path('runs') / pathlib.Path(file).stem
  return run.with_name(f'{run.name}_{argument}') if argument else run


def _split(name: str) -> tuple[str, str]:
  """File and argument of a config; folders may have colons in their names."""
  if name.endswith('.json'):
    return name, ''
  folder, file = os.path.split(name)
  file, _, argument = file.partition(':')
  return os.path.join(folder, file), argument


def expand_home(config: ConfigDict) -> ConfigDict:
  """Replaces '~' by the home folder in the keys that name files and folders."""
  for key in _PATHS:
    *outer, last = key.split('.')
    tree = config[outer[0]] if outer else config
    if isinstance(tree[last], str) and tree[last].startswith('~'):
      tree[last] = os.path.expanduser(tree[last])
  return config


def choices(config: ConfigDict, argv: Sequence[str]) -> str:
  """Sentence with the keys beside the first unknown one; '': all are known.

  Args:
    config: of the run.
    argv: arguments such as '--config.loss.name=bce'.
  """
  for argument in argv:
    option, _, path = argument.partition('=')[0].partition('.')
    tree, outer = config, ''
    for key in path.split('.') if option == '--config' else ():
      if not isinstance(tree, ConfigDict):
        break
      if key not in tree:
        known = ', '.join(tree) or 'none'
        return f' Expected one of the keys {outer or "of the config"}: {known}.'
      tree, outer = tree[key], f'{outer}{"." if outer else "of "}{key}'
  return ''


def read_config(name: str) -> ConfigDict:
  """Reads a config.

  Args:
    name: path of a Python file with `get_config`, perhaps with its argument
      behind a colon ('configs/stamps.py:es'), or of the `config.json` that a
      run wrote. If it is relative, and not below the working directory, it
      is relative to the folder of main.py.

  Returns:
    The config, not locked, with tuples for the lists of JSON.

  Raises:
    ConfigError: there is no such file, or it is not a config.
  """
  path, argument = _split(name)
  path = os.path.expanduser(path)
  if not os.path.isfile(path) and (ROOT / path).is_file():
    path = str(ROOT / path)
  if not os.path.isfile(path):
    raise ConfigError(
      f'There is no config {path}. Expected a file such as configs/stamps.py, '
      'or the config.json of a run.'
    )
  try:
    if path.endswith('.json'):
      tree = later_keys.complete_config(
        json.loads(pathlib.Path(path).read_text())
      )
      return ConfigDict(tuples(_like_default(tree, path)))
    return _load_module(path).get_config(*([argument] if argument else []))
  except ConfigError:
    raise
  except (AttributeError, SyntaxError, TypeError, ValueError) as error:
    reason = str(error).rstrip('.')
    raise ConfigError(f'{name} is not a config: {reason}.') from error


def _like_default(tree: Mapping[str, Any], path: str) -> dict[str, Any]:
  """Checks that a tree has the keys of DEFAULT.

  An installed package has no configs to compare with; the tree is then taken
  as it is.

  Returns:
    The tree, with the value for 'none' of the default's type where the first
    runs had None.

  Raises:
    ConfigError: a key is missing or unknown.
  """
  if not (ROOT / DEFAULT).is_file():
    return dict(tree)
  default = _load_module(str(ROOT / DEFAULT)).get_config().to_dict()

  def check(part: Any, expected: Mapping, outer: str) -> dict[str, Any]:
    if not isinstance(part, Mapping):
      raise ConfigError(
        f'{path}: {outer[:-1]} is {part!r}. Expected the keys '
        f'{", ".join(expected)}. Set {outer[:-1]} as in {DEFAULT}.'
      )
    for key in expected:
      if key not in part:
        raise ConfigError(
          f'{path} lacks the key {outer}{key}. Expected all keys of {DEFAULT}. '
          'Add it, or name another --config.'
        )
    checked = {}
    for key, value in part.items():
      if key not in expected:
        close = difflib.get_close_matches(key, expected, 1)
        meant = f' Did you mean {outer}{close[0]}?' if close else ''
        raise ConfigError(
          f'{path} has an unknown key {outer}{key}.{meant} Expected the keys '
          f'of {DEFAULT}. Remove or correct it.'
        )
      usual = expected[key]
      checked[key] = type(usual)() if value is None else value
      if isinstance(usual, Mapping) and usual:
        checked[key] = check(value, usual, f'{outer}{key}.')
    return checked

  return check(tree, default, '')


def _load_module(path: str) -> Any:
  spec = importlib.util.spec_from_file_location('config', path)
  if spec is None or spec.loader is None:
    raise ValueError('expected a file that ends in .py or .json')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def write_config(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Writes the config of a run as `workdir`/config.json.

  Raises:
    UserError: it cannot be written.
  """
  write_atomically(workdir / FILE, config.to_json(indent=2) + '\n')


def tuples(tree: Any) -> Any:
  """Converts lists to tuples, which JSON lacks and Flax modules need."""
  if isinstance(tree, list):
    return tuple(tuples(item) for item in tree)
  if isinstance(tree, dict):
    return {key: tuples(value) for key, value in tree.items()}
  return tree
