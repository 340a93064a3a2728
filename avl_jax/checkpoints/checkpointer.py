"""Verified checkpoints of a run: written in the background, kept, restored.

A checkpoint is a folder named by its step. It holds `variables` (params and
batch_stats: what a user of the model needs), `training` (optimizer state and
step: what a resumed run needs), `description.json` (the metadata: the model's
keyword arguments and input widths, the training data, the scores) and a
manifest of all files, written last. It is written under a temporary name and
renamed, so a folder named by a step is either whole or was damaged later.

The last two checkpoints and the best one are kept: if the last is damaged,
another is left.
"""

import concurrent.futures
import json
import os
import pathlib
import shutil
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from avl_jax import logs
from avl_jax.checkpoints import manifest, metadata, storage
from avl_jax.checkpoints.metadata import CheckpointError

Tree = Any
KEPT = 2  # last checkpoints, beside the best
_TEMPORARY = '.tmp'
# Seconds to wait before the error of a failed write: TensorStore prints its own
# messages about the other arrays, and ours should come last.
_TENSORSTORE_SECONDS = 1.0


class Checkpoints:
  """Checkpoints of one run; no other process may write them meanwhile.

  Attributes:
    progress: `progress` of the last checkpoint when opened; {}: there is none.
    evaluated: whether the last checkpoint has scores.
  """

  def __init__(self, workdir: str | os.PathLike | None, description: dict):
    """Opens or creates `workdir`/checkpoints and verifies all checkpoints.

    Half-written checkpoints of a killed run are deleted. Damaged ones are
    renamed to STEP.damaged, with a message.

    Args:
      workdir: folder of the run; None: nothing is read or written, as in all
        processes of a run but the first.
      description: metadata of the run, from `metadata.describe`.

    Raises:
      CheckpointError: all checkpoints are damaged, or they are of another
        model, or of training on other data, with another seed or batch size.
    """
    self._description = description
    self._is_writer, self._steps = workdir is not None, {}
    self._pool = concurrent.futures.ThreadPoolExecutor(1)
    self._pending = concurrent.futures.Future()
    self._pending.set_result(None)
    if workdir is not None:
      self._folder = pathlib.Path(workdir).absolute() / storage.FOLDER
      self._folder.mkdir(parents=True, exist_ok=True)
      self._open()
    last = self._steps[max(self._steps)]['run'] if self._steps else {}
    self.progress = last.get('progress', {})
    self.evaluated = bool(last.get('metrics'))
    self._saved_at = last.get('saved_at', np.inf)

  def _open(self) -> None:
    for path in self._folder.glob(f'*{_TEMPORARY}'):
      shutil.rmtree(path)
    for step in storage.steps(self._folder):
      path = self._folder / str(step)
      if damage := storage.find_damage(path):
        aside = manifest.set_aside(path)
        logs.write(
          f'The checkpoint {path} is damaged: {damage}. It was set aside as '
          f'{aside.name}.'
        )
      else:
        self._steps[step] = metadata.read(path)
    damaged = sorted(path.name for path in self._folder.glob('*.damaged*'))
    if damaged and not self._steps:
      raise CheckpointError(
        f'No good checkpoint is left in {self._folder}, only '
        f'{", ".join(damaged)}. Put a good copy back, or delete the workdir to '
        'start over.'
      )
    for step, found in self._steps.items():
      path = self._folder / str(step)
      metadata.check_model(found, self._description, f'The checkpoint {path}')
      metadata.check_training(found, self._description, path)
      # From the checkpoint: the initial workdir may be gone by now.
      self.set_initial_provenance(found.get('initial', ''))

  def set_initial_provenance(self, provenance: str) -> None:
    """Records which data the initial variables were trained on."""
    self._description = self._description | {'initial': provenance}

  @property
  def is_empty(self) -> bool:
    """Whether there is nothing to restore."""
    return not self._steps

  def seconds_until(self, last_alive: float | None) -> float:
    """Seconds from the last checkpoint to a later time; 0 if not later.

    Args:
      last_alive: last heartbeat of the run that wrote the checkpoint, in
        seconds since the epoch; None: that run was not killed.
    """
    return max(0.0, (last_alive or 0.0) - self._saved_at)

  def check(self, metrics: Mapping[str, float]) -> None:
    """Raises CheckpointError if `metrics` lacks the run's best_metric."""
    best_metric = self._description['best_metric']
    if best_metric and best_metric not in metrics:
      raise CheckpointError(
        f'best_metric is {best_metric!r}, but no evaluation gives it. Choose '
        f'one of {", ".join(sorted(metrics))}.'
      )

  def save(
    self,
    state: Any,
    metrics: Mapping[str, float],
    progress: Mapping | None = None,
  ) -> None:
    """Copies a state and writes it in the background.

    Args:
      state: `train.step.TrainState`. Its checkpoint replaces any other
        checkpoint of `state.step`.
      metrics: scores of the state; {}: it was not evaluated.
      progress: JSON values that `progress` returns after a restart.

    Raises:
      CheckpointError: the previous checkpoint was not written; see `wait`.
    """
    self.wait()
    if not self._is_writer:
      return
    # A copy: the next step reuses the state's memory.
    items = jax.tree.map(lambda x: np.array(x, copy=True), storage.items(state))
    description = self._description | {
      'step': int(state.step),
      'run': {
        'metrics': dict(metrics),
        'progress': dict(progress or {}),
        'saved_at': time.time(),
      },
    }
    # A copy too: `progress` may hold lists that grow.
    description = json.loads(json.dumps(description))
    self._pending = self._pool.submit(self._write, items, description)

  def _write(self, items: Mapping[str, Tree], description: dict) -> None:
    step = description['step']
    if name := storage.first_not_finite(items):
      raise CheckpointError(
        f'{name} of step {step} is not finite, so the step was not saved. The '
        'earlier checkpoints are good. Try a smaller learning rate.'
      )
    final = self._folder / str(step)
    temporary = final.with_name(f'{step}{_TEMPORARY}')
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    storage.save(temporary, items)
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
    """Renames a checkpoint, so that a half-deleted one never looks damaged."""
    path = self._folder / str(step)
    del self._steps[step]
    return path.rename(path.with_name(f'{step}.old{_TEMPORARY}'))

  def _kept(self) -> set[int]:
    best_metric = self._description['best_metric']
    best = metadata.best_step(self._steps, best_metric)
    return {*sorted(self._steps)[-KEPT:], best}

  def wait(self) -> None:
    """Waits until the last saved checkpoint is on the disk.

    Raises:
      CheckpointError: the checkpoint could not be written, or a value of the
        state was not finite and nothing was written.
    """
    pending, self._pending = self._pending, concurrent.futures.Future()
    self._pending.set_result(None)
    try:
      pending.result()
    except (OSError, ValueError) as error:  # ValueError: from TensorStore.
      time.sleep(_TENSORSTORE_SECONDS)
      kept = ', '.join(map(str, sorted(self._steps))) or 'none'
      raise CheckpointError(
        f'Cannot write a checkpoint in {self._folder}: {error}\nThe earlier '
        f'checkpoints (steps: {kept}) are good. Free disk space, then run the '
        'same command again to resume.'
      ) from error

  def restore(self, state: Any) -> Any:
    """Restores the last checkpoint's state.

    Args:
      state: `train.step.TrainState` with the shapes and types to restore.

    Returns:
      A state of numpy arrays; `state` itself if there is no checkpoint.
    """
    if self.is_empty:
      return state
    path = self._folder / str(max(self._steps))
    restored = storage.restore_items(path, storage.items(state))
    return state.replace(
      variables=restored['variables'], **restored['training']
    )

  def close(self) -> None:
    """Waits until everything is on the disk; raises like `wait`."""
    try:
      self.wait()
    finally:
      self._pool.shutdown()

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, *_) -> None:
    self.close()
