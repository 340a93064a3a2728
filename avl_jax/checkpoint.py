"""Orbax checkpoints: two items, and a description that makes them readable.

A checkpoint holds `variables` (params and batch_stats: what a user of the
model needs), `training` (optimizer state and step: what a resumed run needs)
and `description` (the model's keyword arguments and input widths, and the
fingerprint of the training data), as JSON. The last and the best one are kept.
"""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from avl_jax import UserError
from avl_jax.model import AVLnet, init_variables

Tree = Any
FOLDER = 'checkpoints'


class CheckpointError(UserError):
  """A checkpoint that is missing, or was made by another model or data."""


def describe(model: Mapping, visual_width: int, data: str) -> dict:
  """What is written beside the arrays.

  Args:
    model: keyword arguments of `AVLnet`.
    visual_width: V of the batches that the model takes.
    data: fingerprint of the training data.
  """
  # Through JSON, so that it equals what is read back.
  return json.loads(
    json.dumps(
      {'model': dict(model), 'visual_width': visual_width, 'data': data}
    )
  )


class Checkpoints:
  """The checkpoints of one run."""

  def __init__(
    self,
    workdir: str | pathlib.Path,
    description: dict,
    best_metric: str = '',
  ):
    """Opens or makes `workdir`/checkpoints.

    Args:
      workdir: folder of the run.
      description: of `describe`.
      best_metric: name of the metric, larger is better, whose best checkpoint
        is kept beside the last; '': none is.

    Raises:
      CheckpointError: the folder holds checkpoints of another model.
    """
    self._description = description
    keep = [checkpoint_managers.LatestN(1)]
    if best_metric:
      best = _value_of(best_metric)
      keep.append(checkpoint_managers.BestN(get_metric_fn=best, n=1))
    self._manager = ocp.CheckpointManager(
      pathlib.Path(workdir).absolute() / FOLDER,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=checkpoint_managers.AnyPreservationPolicy(keep),
        best_fn=_value_of(best_metric),  # else no metrics are written
        cleanup_tmp_directories=True,
      ),
    )
    if (step := self._manager.latest_step()) is not None:
      found = _read_description(self._manager, step)
      check_same(found, description, f'the checkpoints in {workdir}')

  def save(self, state: Any, metrics: Mapping[str, float]) -> None:
    """Writes a checkpoint of a `train.TrainState` in the background."""
    variables, training = _items(state)
    self._manager.save(
      int(state.step),
      args=ocp.args.Composite(
        variables=ocp.args.StandardSave(variables),
        training=ocp.args.StandardSave(training),
        description=ocp.args.JsonSave(self._description),
      ),
      metrics=dict(metrics),
    )

  def restore(self, state: Any) -> Any:
    """The last checkpoint's state, or `state` itself if there is none.

    Args:
      state: `train.TrainState` whose shapes, types and shardings are kept.
    """
    step = self._manager.latest_step()
    if step is None:
      return state
    variables, training = _items(state)
    restored = self._manager.restore(
      step,
      args=ocp.args.Composite(
        variables=ocp.args.StandardRestore(_abstract(variables)),
        training=ocp.args.StandardRestore(_abstract(training)),
      ),
    )
    return state.replace(
      variables=restored['variables'], **restored['training']
    )

  def close(self) -> None:
    """Waits until everything is on the disk; raises what went wrong there."""
    self._manager.wait_until_finished()
    self._manager.close()


def load(
  workdir: str | pathlib.Path, best_metric: str = ''
) -> tuple[AVLnet, Tree, dict]:
  """Loads a trained model; needs nothing but the folder of its run.

  Args:
    workdir: folder of the run.
    best_metric: take the checkpoint with the largest value of this metric;
      '': the last one.

  Returns:
    The model; its variables as numpy arrays; the description, with 'step'.

  Raises:
    CheckpointError: there is no checkpoint.
  """
  folder = pathlib.Path(workdir).absolute() / FOLDER
  if not folder.is_dir():
    raise CheckpointError(
      f'no checkpoint in {folder}: train first, '
      f'`python main.py --config=CONFIG --workdir={workdir}`'
    )
  options = ocp.CheckpointManagerOptions(
    read_only=True, create=False, best_fn=_value_of(best_metric)
  )
  with ocp.CheckpointManager(folder, options=options) as manager:
    step = manager.best_step() if best_metric else manager.latest_step()
    if step is None:
      raise CheckpointError(f'no finished checkpoint in {folder}: train on')
    description = _read_description(manager, step)
    model = AVLnet(**tuples(description['model']))
    template = jax.eval_shape(
      lambda: init_variables(model, description['visual_width'])
    )
    restored = manager.restore(
      step,
      args=ocp.args.Composite(
        variables=ocp.args.StandardRestore(
          jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), template)
        )
      ),
    )
  return model, restored['variables'], description | {'step': step}


def load_variables(
  workdir: str | pathlib.Path, expected: Mapping, best_metric: str
) -> Tree:
  """Variables of another run, to start from.

  Args:
    workdir: folder of the other run.
    expected: `describe` of the model that will take them.
    best_metric: see `load`.

  Raises:
    CheckpointError: there are none, or they are of another model.
  """
  _, variables, description = load(workdir, best_metric)
  check_same(description, expected, f'the checkpoints in {workdir}')
  return variables


def check_same(found: Mapping, expected: Mapping, what: str) -> None:
  """Raises CheckpointError that names the keys in which two models differ."""
  old = found['model'] | {'visual_width': found['visual_width']}
  new = expected['model'] | {'visual_width': expected['visual_width']}
  differing = [
    f'{key}: {old.get(key)!r} there, {new.get(key)!r} here'
    for key in sorted(old | new)
    if old.get(key) != new.get(key)
  ]
  if differing:
    raise CheckpointError(
      f'{what} are of another model ({"; ".join(differing)}); use another '
      'workdir, or the same model'
    )


def _value_of(metric: str) -> Callable[[Mapping], float]:
  return lambda metrics: metrics.get(metric, -np.inf)


def _read_description(manager, step: int) -> dict:
  return manager.restore(
    step, args=ocp.args.Composite(description=ocp.args.JsonRestore())
  )['description']


def _items(state: Any) -> tuple[Tree, Tree]:
  training = {'step': state.step, 'optimizer_state': state.optimizer_state}
  return state.variables, training


def _abstract(tree: Tree) -> Tree:
  return jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)


def tuples(tree: Any) -> Any:
  """Lists to tuples, which JSON has not, and which can be hashed."""
  if isinstance(tree, list):
    return tuple(tuples(item) for item in tree)
  if isinstance(tree, dict):
    return {key: tuples(value) for key, value in tree.items()}
  return tree
