"""Checkpoint metadata: model arguments, data fingerprint, metrics.

It is stored as JSON in description.json, beside the arrays.
"""

import json
import pathlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from avl_jax import later_keys
from avl_jax.checkpoints import early_layout
from avl_jax.errors import UserError

NAME = 'description.json'
_SHAPING = (
  *('embed_dim', 'widths', 'blocks', 'structure', 'head'),
  'visual_width',
)


class CheckpointError(UserError):
  """A checkpoint is missing, damaged, or of another model or training."""


def describe(
  model: Mapping,
  visual_width: int,
  data: str,
  *,
  seed: int = 0,
  batch_size: int = 0,
  best_metric: str = '',
  examples: int = 0,
  learnt: Iterable[str] = (),
  networks: Mapping[str, str] = MappingProxyType({}),
) -> dict:
  """Makes the metadata of a run's checkpoints.

  Args:
    model: keyword arguments of `AVLnet`.
    visual_width: V of the batches that the model takes.
    data: fingerprint of the training data.
    seed: of the run; with `batch_size` it determines the examples of a step.
    batch_size: examples in a batch.
    best_metric: name of a metric, see `best_step`. Its best checkpoint is kept
      beside the last ones, and `loading.load` takes it; '': `load` takes the
      last checkpoint.
    examples: number of examples of the training data; 0: unknown.
    learnt: names in params['loss'], what the loss learns.
    networks: stream -> name of the network of its features, where known.
  """
  description: dict[str, Any] = {
    'model': dict(model),
    'visual_width': visual_width,
    'data': data,
    'examples': examples,
    'networks': dict(networks),
    'initial': '',  # data on which the initial variables were trained, if any
    'seed': seed,
    'batch_size': batch_size,
    'best_metric': best_metric,
  }
  if learnt := sorted(learnt):
    description['learnt'] = learnt
  # Through JSON, so that it equals what `read` returns.
  return json.loads(json.dumps(description))


def provenance(description: Mapping) -> str:
  """Fingerprints of all data a model was trained on, the oldest first."""
  earlier = description.get('initial', '')
  return ' '.join(part for part in (earlier, description['data']) if part)


def read(path: pathlib.Path) -> dict:
  """Reads the metadata in the folder of a checkpoint.

  Raises:
    CheckpointError: there is none, or it is not JSON.
  """
  try:
    if early_layout.is_early(path):
      return early_layout.read_metadata(path)
    return json.loads((path / NAME).read_text())
  except (OSError, ValueError) as error:
    raise CheckpointError(
      f'The checkpoint {path} has no readable {NAME}: it is damaged, or of '
      'another version of this program. Put a good copy in its place, or '
      'choose another workdir.'
    ) from error


def check_model(
  found: Mapping, expected: Mapping, name: str, shapes_alone: bool = False
) -> None:
  """Checks that two checkpoints or runs have the same model.

  A key that one of them lacks has the value of `later_keys`.

  Args:
    found: metadata of a checkpoint.
    expected: metadata of the model that will take its arrays.
    name: subject of the message, such as 'The checkpoint runs/x'.
    shapes_alone: compare only the keys that determine the shapes of the
      variables.

  Raises:
    CheckpointError: they differ; the message names the keys.
  """
  old, new = (
    later_keys.complete_metadata(each)['model']
    | {'visual_width': each['visual_width']}
    for each in (found, expected)
  )
  differing = [
    f'{key}: {old.get(key)!r} in the checkpoint, {new.get(key)!r} in this run'
    for key in (_SHAPING if shapes_alone else sorted(old | new))
    if old.get(key) != new.get(key)
  ]
  if differing:
    raise CheckpointError(
      f'{name} is of another model ({"; ".join(differing)}). Choose another '
      'workdir, or use the same model.'
    )


def check_networks(found: Mapping, expected: Mapping, name: str) -> None:
  """Raises CheckpointError if features of a stream are of two networks.

  Args:
    found: metadata of a checkpoint.
    expected: metadata with the 'networks' of the records.
    name: subject of the message.
  """
  old = later_keys.complete_metadata(found)['networks']
  for stream, network in expected['networks'].items():
    if old.get(stream, network) != network:
      raise CheckpointError(
        f'{name} takes {stream} of the network {old[stream]}. The records have '
        f'{network}. Use records of the same network, or train a new model.'
      )


def check_training(
  found: Mapping, expected: Mapping, path: pathlib.Path
) -> None:
  """Checks that two runs use the same examples at each step.

  Their losses must learn the same scalars, too. What the metadata of an early
  checkpoint lack is unknown, and not compared.

  Args:
    found: metadata of a checkpoint.
    expected: metadata of this run.
    path: of the checkpoint, WORKDIR/checkpoints/STEP.

  Raises:
    CheckpointError: they do not. The message names the keys, and the command
      that starts from the model.
  """
  name = f'The checkpoint {path}'
  check_networks(found, expected, name)
  keys = ['data', 'seed', 'batch_size']
  if found.get('examples', 0) and expected['examples']:  # They are known.
    keys.insert(0, 'examples')
  differing = [
    f'{key}: {found[key]!r} in the checkpoint, {expected[key]!r} in this run'
    for key in keys
    if key in found and found[key] != expected[key]
  ]
  if differing:
    raise CheckpointError(
      f'{name} comes from training on other data or in another order '
      f'({"; ".join(differing)}). Choose another workdir, or use the same '
      'settings. To start from this model, add to the command '
      f'--config.initial_workdir={path.parents[1]} --workdir=NEW.'
    )
  old, new = found.get('learnt', []), expected.get('learnt', [])
  if old != new:
    raise CheckpointError(
      f'{name} comes from training with another loss: what it learns is '
      f'{old} in the checkpoint, {new} in this run. Choose another workdir, or '
      'use the same loss.name.'
    )


def best_step(descriptions: Mapping[int, Mapping], metric: str) -> int:
  """Step with the best value of a metric; the last if none has it.

  Less is better for ranks and losses (names that end in 'rank' or 'loss'), more
  for all other metrics. NaN counts as no value.
  """
  sign = -1 if metric.endswith(('rank', 'loss')) else 1

  def value(step: int) -> float:
    found = descriptions[step]['run']['metrics'].get(metric, np.nan)
    return -np.inf if np.isnan(found) else sign * found

  return max(descriptions, key=lambda step: (value(step), step))
