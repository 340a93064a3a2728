"""Strictly reads the weights of published image and video networks."""

import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from avl_jax.torch_files import state_dicts, trees, weight_map
from avl_jax.torch_files.errors import ReleaseError

_COUNTER = '.num_batches_tracked'  # not written by old versions of PyTorch
_PARALLEL = 'module.'  # prefix that torch.nn.DataParallel adds to each name
_SHOWN = 8  # names in a message


def read_network(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads the state dict of a network, saved with DataParallel or not.

  Args:
    path: of a file in one of the formats of `read_state_dict`.

  Returns:
    The arrays by name, without DataParallel's prefix `module.`.

  Raises:
    ReleaseError: the file is missing, or as `read_state_dict`.
  """
  if not pathlib.Path(path).is_file():
    raise ReleaseError(
      f'There is no file {os.fspath(path)!r}. Expected the weights of a '
      'network, FILE.pth or FILE.safetensors.'
    )
  state = state_dicts.read_state_dict(path)
  if state and all(name.startswith(_PARALLEL) for name in state):
    state = {name.removeprefix(_PARALLEL): x for name, x in state.items()}
  return state


def check_variables(
  state: Mapping[str, np.ndarray],
  table: weight_map.Weights,
  shapes: Mapping[weight_map.Path, Any],
  title: str,
) -> dict:
  """Converts a state dict to our variables, and checks that it fits the table.

  Args:
    state: arrays by name.
    table: weights of the network; its counters `num_batches_tracked` may be
      absent from `state`.
    shapes: path in our variables -> object with the expected `shape`.
    title: start of the message, 'FILE does not hold the weights of a ResNet'.

  Returns:
    {'params', 'batch_stats'}, float32.

  Raises:
    ReleaseError: entries are missing, unexpected, misshapen or not finite; the
      message names them. Entries that are never applied may have any shape.
  """
  counters = {name for name in table if name.endswith(_COUNTER)}
  named, given = set(table) - counters, set(state) - counters
  arrays, misshapen, infinite = {}, [], []
  for name in sorted(named & given):
    weight = table[name]
    if weight.path is None:
      continue
    shape = shapes[weight.path].shape
    try:
      array = weight_map.to_ours(weight, state[name]).astype(np.float32)
    except ValueError:  # axes in `ones` are not of length 1
      array = None
    if array is None or array.shape != shape:
      misshapen.append(
        f'{name} has shape {state[name].shape}, which does not convert to '
        f'{shape}'
      )
    elif not np.isfinite(array).all():
      infinite.append(name)
    arrays[weight.path] = array
  problems = {
    'missing': named - given,
    'unexpected': given - named,
    'misshapen': misshapen,
    'not finite': infinite,
  }
  if any(problems.values()):
    raise ReleaseError(
      f'{title}: '
      + ', '.join(
        f'{kind} {_some(names)}' for kind, names in problems.items() if names
      )
      + '.'
    )
  return trees.unflatten(arrays)


def _some(names: Iterable[str]) -> str:
  names = sorted(names)
  more = f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
  return f'{names[:_SHOWN]}{more}'
