"""Orbax checkpoints: two items, and a description that makes them readable.

A checkpoint holds `variables` (params and batch_stats: what a user of the
model needs), `training` (optimizer state and step: what a resumed run needs)
and `description` (the model's keyword arguments and input widths, and the
fingerprint of the training data), as JSON. The last and the best one are kept.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from avl_jax import UserError
from avl_jax.model import AVLnet, init_variables

Tree = Any
FOLDER = 'checkpoints'
_SHAPING = ('embed_dim', 'widths', 'blocks', 'structure', 'visual_width')


class CheckpointError(UserError):
  """A checkpoint that is missing, or does not fit the model or the data."""


def describe(
  model: Mapping, visual_width: int, data: str, best_metric: str = ''
) -> dict:
  """What is written beside the arrays.

  Args:
    model: keyword arguments of `AVLnet`.
    visual_width: V of the batches that the model takes.
    data: fingerprint of the training data.
    best_metric: name of the metric, larger is better, whose best checkpoint is
      kept beside the last and taken by `load`; '': the last alone.
  """
  description = {
    'model': dict(model),
    'visual_width': visual_width,
    'data': data,
    'best_metric': best_metric,
  }
  # Through JSON, so that it equals what is read back.
  return json.loads(json.dumps(description))


class Checkpoints:
  """The checkpoints of one run."""

  def __init__(self, workdir: str | pathlib.Path, description: dict):
    """Opens or makes `workdir`/checkpoints.

    Args:
      workdir: folder of the run.
      description: of `describe`.

    Raises:
      CheckpointError: the folder holds checkpoints of another model, or of
        training on other data.
    """
    self._description = description
    best_metric = description['best_metric']

    def value(metrics: Mapping) -> float:
      return metrics.get(best_metric, -np.inf)

    keep = [checkpoint_managers.LatestN(1)]
    if best_metric:
      keep.append(checkpoint_managers.BestN(get_metric_fn=value, n=1))
    self._manager = ocp.CheckpointManager(
      pathlib.Path(workdir).absolute() / FOLDER,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=checkpoint_managers.AnyPreservationPolicy(keep),
        best_fn=value,  # Without it no metrics are written.
        cleanup_tmp_directories=True,
      ),
    )
    if (step := self._manager.latest_step()) is not None:
      found = _read_description(self._manager, step)
      check_same(found, description, f'the checkpoints in {workdir}')
      if found['data'] != description['data']:
        raise CheckpointError(
          f'the checkpoints in {workdir} were trained on other data '
          f'(fingerprint {found["data"]} there, {description["data"]} here); '
          'use another workdir, or the same data'
        )

  @property
  def is_empty(self) -> bool:
    """Whether there is nothing to restore."""
    return self._manager.latest_step() is None

  def check(self, metrics: Mapping[str, float]) -> None:
    """Raises CheckpointError if the best metric is not among `metrics`."""
    best_metric = self._description['best_metric']
    if best_metric and best_metric not in metrics:
      raise CheckpointError(
        f'no evaluation gives best_metric {best_metric!r}; there are '
        f'{", ".join(sorted(metrics))}'
      )

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


def load(workdir: str | pathlib.Path) -> tuple[AVLnet, Tree, dict]:
  """Loads a trained model; needs nothing but the folder of its run.

  Args:
    workdir: folder of the run.

  Returns:
    The model; the variables of its best checkpoint, by the run's own metric, as
    numpy arrays; the description, with 'step'.

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
    read_only=True,
    create=False,
    best_fn=lambda _: 0.0,  # to read metrics
  )
  with ocp.CheckpointManager(folder, options=options) as manager:
    step = _best_step(manager)
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


def load_variables(workdir: str | pathlib.Path, expected: Mapping) -> Tree:
  """The best variables of another run, to start from.

  Args:
    workdir: folder of the other run.
    expected: `describe` of the model that will take them.

  Raises:
    CheckpointError: there are none, or they are of another model.
  """
  _, variables, description = load(workdir)
  what = f'the checkpoints in {workdir}'
  check_same(description, expected, what, shapes_alone=True)
  return variables


def check_same(
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


def _best_step(manager: ocp.CheckpointManager) -> int | None:
  last = manager.latest_step()
  metric = last and _read_description(manager, last)['best_metric']
  if not metric:
    return last
  values = {step: manager.metrics(step) or {} for step in manager.all_steps()}
  return max(values, key=lambda s: (values[s].get(metric, -np.inf), s))


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
