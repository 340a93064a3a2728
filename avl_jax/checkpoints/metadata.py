"""What a checkpoint says of itself, beside its arrays, as JSON."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from avl_jax.errors import UserError

NAME = 'description.json'
_SHAPING = ('embed_dim', 'widths', 'blocks', 'structure', 'visual_width')


class CheckpointError(UserError):
  """A checkpoint that is missing, damaged or of another model or training."""


def describe(
  model: Mapping,
  visual_width: int,
  data: str,
  *,
  seed: int = 0,
  batch_size: int = 0,
  best_metric: str = '',
  examples: int = 0,
) -> dict:
  """What is written beside the arrays.

  Args:
    model: keyword arguments of `AVLnet`.
    visual_width: V of the batches that the model takes.
    data: fingerprint of the training data.
    seed: of the run; with `batch_size` it says which examples a step has seen.
    batch_size: examples in a batch.
    best_metric: name of the metric, larger is better, whose best checkpoint is
      kept beside the last and taken by `load`; '': the last alone.
    examples: how many the training data has; 0: unknown.
  """
  description = {
    'model': dict(model),
    'visual_width': visual_width,
    'data': data,
    'examples': examples,
    'initial': '',  # data of the runs that it began from, if any
    'seed': seed,
    'batch_size': batch_size,
    'best_metric': best_metric,
  }
  # Through JSON, so that it equals what is read back.
  return json.loads(json.dumps(description))


def provenance(description: Mapping) -> str:
  """Fingerprints of all data a model has seen, those of the first run first."""
  earlier = description.get('initial', '')
  return ' '.join(part for part in (earlier, description['data']) if part)


def read(path: pathlib.Path) -> dict:
  """Reads the description in the folder of a checkpoint.

  Raises:
    CheckpointError: there is none.
  """
  try:
    return json.loads((path / NAME).read_text())
  except (OSError, ValueError) as error:
    raise CheckpointError(
      f'{path} has no readable {NAME}: it is damaged, or of another '
      'version of this program'
    ) from error


def check_model(
  found: Mapping, expected: Mapping, what: str, shapes_alone: bool = False
) -> None:
  """Compares the models of two descriptions.

  Args:
    found: description of a checkpoint.
    expected: description of the model that is to take its arrays.
    what: the checkpoint, in the message.
    shapes_alone: compare only what decides the shapes of the variables.

  Raises:
    CheckpointError: they differ; the message names the keys.
  """
  old = found['model'] | {'visual_width': found['visual_width']}
  new = expected['model'] | {'visual_width': expected['visual_width']}
  differing = [
    f'{key}: {old.get(key)!r} there, {new.get(key)!r} here'
    for key in (_SHAPING if shapes_alone else sorted(old | new))
    if old.get(key) != new.get(key)
  ]
  if differing:
    raise CheckpointError(
      f'{what} are of another model ({"; ".join(differing)}); use another '
      'workdir, or the same model'
    )


def check_training(found: Mapping, expected: Mapping, what: str) -> None:
  """Raises CheckpointError unless both see the same examples at each step."""
  differing = [
    f'{key}: {found[key]!r} there, {expected[key]!r} here'
    for key in ('data', 'seed', 'batch_size')
    if found[key] != expected[key]
  ]
  if differing:
    raise CheckpointError(
      f'{what} comes from training on other data or in another order '
      f'({"; ".join(differing)}); use another workdir, or the same settings'
    )


def best_step(descriptions: Mapping[int, Mapping], metric: str) -> int:
  """The step with the largest value of a metric; the last if there is none."""
  return max(
    descriptions,
    key=lambda s: (descriptions[s]['run']['metrics'].get(metric, -np.inf), s),
  )


def tuples(tree: Any) -> Any:
  """Lists to tuples, which JSON has not, and which can be hashed."""
  if isinstance(tree, list):
    return tuple(tuples(item) for item in tree)
  if isinstance(tree, dict):
    return {key: tuples(value) for key, value in tree.items()}
  return tree
