"""Verified Orbax checkpoints.

A checkpoint is a folder named by its step. It holds `variables` (params and
batch_stats: what a user of the model needs), `training` (optimizer state and
step: what a resumed run needs), `description.json` (the model's keyword
arguments and input widths, what the training was about, its scores) and a
manifest of all files, written last. It is written under another name and
renamed: a folder named by a step is whole, or was damaged later.

The last two and the best are kept: if the last is damaged, one is left.
"""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import shutil
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from avl_jax.checkpoints import manifest, metadata
from avl_jax.checkpoints.metadata import CheckpointError
from avl_jax.models.avlnet import AVLnet, init_variables

Tree = Any
FOLDER = 'checkpoints'
KEPT = 2
_TEMPORARY = '.tmp'
# Seconds in which TensorStore prints what it has to say about each of the other
# arrays of a failed write: what we say of it should come last.
_COMPLAINTS = 1.0


class Checkpoints:
  """The checkpoints of one run, which nobody else writes at the same time.

  Attributes:
    progress: what `save` was last given to remember; {} before any.
    evaluated: whether the last checkpoint has scores.
  """

  def __init__(self, workdir: str | pathlib.Path | None, description: dict):
    """Opens or makes `workdir`/checkpoints.

    Every checkpoint there is verified. What a killed run left half-written is
    deleted; what was damaged is set aside as STEP.damaged, and said.

    Args:
      workdir: folder of the run; None: nothing is read or written, as on all
        hosts of a run but the first.
      description: of `descriptions.describe`.

    Raises:
      CheckpointError: all checkpoints are damaged, or they are of another
        model, or of training on other data, with another seed or batch size.
    """
    self._description = description
    self._folder, self._steps = None, {}
    self._pool = concurrent.futures.ThreadPoolExecutor(1)
    self._pending = concurrent.futures.Future()
    self._pending.set_result(None)
    if workdir is not None:
      self._folder = pathlib.Path(workdir).absolute() / FOLDER
      self._folder.mkdir(parents=True, exist_ok=True)
      self._open()
    last = self._steps[max(self._steps)]['run'] if self._steps else {}
    self.progress = last.get('progress', {})
    self.evaluated = bool(last.get('metrics'))
    self._saved_at = last.get('saved_at', np.inf)

  def _open(self) -> None:
    for path in self._folder.glob(f'*{_TEMPORARY}'):
      shutil.rmtree(path)
    for step in _steps(self._folder):
      path = self._folder / str(step)
      if damage := manifest.find_damage(path):
        _set_aside(path, damage)
      else:
        self._steps[step] = metadata.read(path)
    damaged = sorted(path.name for path in self._folder.glob('*.damaged*'))
    if damaged and not self._steps:
      raise CheckpointError(
        f'no good checkpoint is left in {self._folder}, only '
        f'{", ".join(damaged)}: put a good copy back, or delete the workdir to '
        'start over'
      )
    for step, found in self._steps.items():
      what = f'the checkpoint {self._folder / str(step)}'
      metadata.check_model(found, self._description, what)
      metadata.check_training(found, self._description, what)
      # Known when it began; what it began from may be gone by now.
      self.begin_from(found.get('initial', ''))

  def begin_from(self, provenance: str) -> None:
    """Notes the data of the run whose variables this one begins with."""
    self._description = self._description | {'initial': provenance}

  @property
  def is_empty(self) -> bool:
    """Whether there is nothing to restore."""
    return not self._steps

  def seconds_until(self, last_alive: float | None) -> float:
    """Seconds from the last checkpoint to a time after it; else 0.

    Args:
      last_alive: when the run that wrote it last lived, in seconds since the
        epoch, if it was killed; None: it was not.
    """
    return max(0.0, (last_alive or 0.0) - self._saved_at)

  def check(self, metrics: Mapping[str, float]) -> None:
    """Raises CheckpointError if the best metric is not among `metrics`."""
    best_metric = self._description['best_metric']
    if best_metric and best_metric not in metrics:
      raise CheckpointError(
        f'no evaluation gives best_metric {best_metric!r}; there are '
        f'{", ".join(sorted(metrics))}'
      )

  def save(
    self,
    state: Any,
    metrics: Mapping[str, float],
    progress: Mapping | None = None,
  ) -> None:
    """Copies a `train.TrainState` and writes it in the background.

    Args:
      state: at `state.step`; of another checkpoint of this step it takes the
        place.
      metrics: scores of the state; {}: it was not evaluated.
      progress: what can be written as JSON, for `progress` after a restart.

    Raises:
      CheckpointError: of the checkpoint before, see `wait`.
    """
    self.wait()
    if self._folder is None:
      return
    # A copy: the next step reuses the state's memory.
    items = jax.tree.map(lambda x: np.array(x, copy=True), _items(state))
    description = self._description | {
      'step': int(state.step),
      'run': {
        'metrics': dict(metrics),
        'progress': dict(progress or {}),
        'saved_at': time.time(),
      },
    }
    # A copy too: what is remembered may be a list that grows.
    description = json.loads(json.dumps(description))
    self._pending = self._pool.submit(self._write, items, description)

  def _write(self, items: Mapping[str, Tree], description: dict) -> None:
    step = description['step']
    _check_finite(items, step)
    final = self._folder / str(step)
    temporary = final.with_name(f'{step}{_TEMPORARY}')
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    with _checkpointer() as checkpointer:
      for name, tree in items.items():
        checkpointer.save(temporary / name, args=ocp.args.StandardSave(tree))
    text = json.dumps(description, indent=2)
    (temporary / metadata.NAME).write_text(text + '\n')
    manifest.write(temporary)
    old = [self._take_away(step)] if step in self._steps else []
    os.rename(temporary, final)
    manifest.sync(self._folder)
    self._steps[step] = description
    old += [self._take_away(s) for s in self._steps.keys() - self._kept()]
    for path in old:
      shutil.rmtree(path)

  def _take_away(self, step: int) -> pathlib.Path:
    """Renames a step, so that one half-deleted is not taken for damaged."""
    path = self._folder / str(step)
    del self._steps[step]
    return path.rename(path.with_name(f'{step}.old{_TEMPORARY}'))

  def _kept(self) -> set[int]:
    best_metric = self._description['best_metric']
    return {
      *sorted(self._steps)[-KEPT:],
      metadata.best_step(self._steps, best_metric),
    }

  def wait(self) -> None:
    """Waits until the last save is on the disk.

    Raises:
      CheckpointError: it could not be written, or a value of the state was not
        finite, and nothing was.
    """
    pending, self._pending = self._pending, concurrent.futures.Future()
    self._pending.set_result(None)
    try:
      pending.result()
    except (OSError, ValueError) as error:  # ValueError: from TensorStore.
      time.sleep(_COMPLAINTS)
      kept = ', '.join(map(str, sorted(self._steps))) or 'none'
      raise CheckpointError(
        f'a checkpoint could not be written in {self._folder}: {error}\nThe '
        f'good ones (steps: {kept}) are untouched. Make room, then run the '
        'same command again'
      ) from error

  def restore(self, state: Any) -> Any:
    """The last checkpoint's state, or `state` itself if there is none.

    Args:
      state: `train.TrainState` whose shapes and types are kept.

    Returns:
      A state of numpy arrays.
    """
    if self.is_empty:
      return state
    path = self._folder / str(max(self._steps))
    restored = {
      name: _restore(path / name, tree) for name, tree in _items(state).items()
    }
    return state.replace(
      variables=restored['variables'], **restored['training']
    )

  def close(self) -> None:
    """Waits until everything is on the disk; raises as `wait`."""
    try:
      self.wait()
    finally:
      self._pool.shutdown()

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, *_) -> None:
    self.close()


def load(workdir: str | pathlib.Path) -> tuple[AVLnet, Tree, dict]:
  """Loads a trained model; needs nothing but the folder of its run.

  Args:
    workdir: folder of the run.

  Returns:
    The model; the variables of its best checkpoint, by the run's own metric, as
    numpy arrays; the description, with 'step' and without 'run', what happened
    while training.

  Raises:
    CheckpointError: there is no checkpoint, or the best one is damaged.
  """
  path, description = _best(workdir)
  if damage := manifest.find_damage(path):
    raise CheckpointError(
      f'the checkpoint {path} is damaged: {damage}. Put a good '
      'copy in its place, or run the training command again: it sets the '
      'damaged one aside and goes on from the newest good one'
    )
  model = AVLnet(**metadata.tuples(description['model']))
  template = jax.eval_shape(
    lambda: init_variables(model, description['visual_width'])
  )
  variables = _restore(path / 'variables', template)
  return model, variables, {k: v for k, v in description.items() if k != 'run'}


def _best(workdir: str | pathlib.Path) -> tuple[pathlib.Path, dict]:
  """The best checkpoint of a run, by the run's own metric."""
  folder = pathlib.Path(workdir).absolute() / FOLDER
  if not folder.is_dir():
    raise CheckpointError(
      f'no checkpoint in {folder}: train first, '
      f'`python main.py --config=CONFIG --workdir={workdir}`'
    )
  found = {step: metadata.read(folder / str(step)) for step in _steps(folder)}
  if not found:
    raise CheckpointError(f'no finished checkpoint in {folder}: train on')
  step = metadata.best_step(found, found[max(found)]['best_metric'])
  return folder / str(step), found[step]


def load_variables(workdir: str | pathlib.Path, expected: Mapping) -> Tree:
  """The best variables of another run, to start from.

  Args:
    workdir: folder of the other run.
    expected: `descriptions.describe` of the model that will take them.

  Raises:
    CheckpointError: there are none, or they are of another model.
  """
  _, variables, description = load(workdir)
  what = f'the checkpoints in {workdir}'
  metadata.check_model(description, expected, what, shapes_alone=True)
  return variables


def provenance(workdir: str | pathlib.Path) -> str:
  """Fingerprints of all data that the model of a run has seen.

  Raises:
    CheckpointError: there is no checkpoint.
  """
  _, description = _best(workdir)
  return metadata.provenance(description)


def _check_finite(items: Tree, step: int) -> None:
  for path, leaf in jax.tree.leaves_with_path(items):
    if leaf.dtype.kind == 'f' and not np.isfinite(leaf).all():
      raise CheckpointError(
        f'{jax.tree_util.keystr(path)} of step {step} is not finite; the step '
        'was not saved. The checkpoints before are good: try a smaller '
        'learning rate'
      )


def _steps(folder: pathlib.Path) -> list[int]:
  return sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal())


def _set_aside(path: pathlib.Path, damage: str) -> None:
  names = (
    path.with_name(f'{path.name}.damaged{i}') for i in ('', *range(2, 99))
  )
  aside = path.rename(next(name for name in names if not name.exists()))
  print(
    f'the checkpoint {path} is damaged: {damage}. It was set aside as '
    f'{aside.name}'
  )


def _items(state: Any) -> dict[str, Tree]:
  """What goes where: `variables`, and all else in `training`."""
  fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
  return {'variables': fields.pop('variables'), 'training': fields}


def _checkpointer() -> ocp.Checkpointer:
  """Orbax for this process alone: no other host of a run takes part."""
  alone = ocp.options.MultiprocessingOptions(
    primary_host=jax.process_index(),
    active_processes={jax.process_index()},
    barrier_sync_key_prefix=f'host{jax.process_index()}',
  )
  return ocp.Checkpointer(
    ocp.StandardCheckpointHandler(multiprocessing_options=alone),
    multiprocessing_options=alone,
  )


def _restore(path: pathlib.Path, template: Tree) -> Tree:
  """Numpy arrays of the shapes and types of a tree."""
  arrays = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), template)
  with _checkpointer() as checkpointer:
    return checkpointer.restore(path, args=ocp.args.StandardRestore(arrays))
