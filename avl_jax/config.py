"""Configs of runs: reading them from Python or JSON, writing them as JSON."""

import importlib.util
import json
import pathlib
from typing import Any

from ml_collections import ConfigDict

from avl_jax.errors import ConfigError
from avl_jax.files import write_atomically

FILE = 'config.json'  # in the workdir of a run


def read_config(name: str) -> ConfigDict:
  """Reads a config.

  Args:
    name: path of a Python file with `get_config`, perhaps with its argument
      behind a colon ('configs/stamps.py:es'), or of the `config.json` that a
      run wrote.

  Returns:
    The config, not locked, with tuples for the lists of JSON.

  Raises:
    ConfigError: there is no such file, or it is not a config.
  """
  path, argument = name, ''
  if not name.endswith('.json'):  # Its folder may have a colon in its name.
    path, _, argument = name.partition(':')
  if not pathlib.Path(path).is_file():
    raise ConfigError(
      f'There is no config {path}. Expected a file such as configs/stamps.py, '
      'or the config.json of a run.'
    )
  try:
    if path.endswith('.json'):
      return ConfigDict(tuples(json.loads(pathlib.Path(path).read_text())))
    return _load_module(path).get_config(*([argument] if argument else []))
  except (AttributeError, SyntaxError, TypeError, ValueError) as error:
    reason = str(error).rstrip('.')
    raise ConfigError(f'{name} is not a config: {reason}.') from error


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
