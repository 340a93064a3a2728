"""Loading the best checkpoint of a finished or running run."""

import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from avl_jax import later_keys
from avl_jax.checkpoints import metadata, storage
from avl_jax.checkpoints.metadata import CheckpointError
from avl_jax.config import tuples
from avl_jax.models.avlnet import AVLnet, init_variables

Tree = Any


def load(workdir: str | os.PathLike) -> tuple[AVLnet, Tree, dict]:
  """Loads a trained model; needs only the workdir of its run.

  Args:
    workdir: folder of the run.

  Returns:
    The model; the variables of its best checkpoint by the run's best_metric, as
    numpy arrays, with params['loss'] if its loss learns; its metadata
    (`metadata.describe`) with 'step' and without 'run', the part about the
    course of training.

  Raises:
    CheckpointError: there is no checkpoint, or the best one is damaged.

  Example:
    model, variables, facts = loading.load('runs/stamps')
    embeddings = model.apply(variables, batch, train=False)
  """
  path, description = _best(workdir)
  if damage := storage.find_damage(path):
    raise CheckpointError(
      f'The checkpoint {path} is damaged: {damage}. Put a good copy in its '
      'place, or run the training command again: it sets the damaged '
      'checkpoint aside and resumes from the newest good one.'
    )
  arguments = later_keys.complete_metadata(description)['model']
  model = AVLnet(**tuples(arguments))
  template = jax.eval_shape(
    lambda: init_variables(model, description['visual_width'])
  )
  if learnt := description.get('learnt'):
    scalar = jax.ShapeDtypeStruct((), jnp.float32)
    template['params']['loss'] = dict.fromkeys(learnt, scalar)
  variables = storage.restore(path / 'variables', template)
  return model, variables, {k: v for k, v in description.items() if k != 'run'}


def has_checkpoint(workdir: str | os.PathLike) -> bool:
  """Whether a run has a checkpoint to resume from, whole or damaged."""
  folder = pathlib.Path(workdir) / storage.FOLDER
  return folder.is_dir() and bool(storage.steps(folder))


def _best(workdir: str | os.PathLike) -> tuple[pathlib.Path, dict]:
  """Folder and metadata of the best checkpoint, by the run's best_metric."""
  folder = pathlib.Path(workdir).absolute() / storage.FOLDER
  if not folder.is_dir():
    raise CheckpointError(
      f'There is no checkpoint in {folder}. Train first: '
      f'`python main.py --config=CONFIG --workdir={workdir}`.'
    )
  found = {
    step: metadata.read(folder / str(step)) for step in storage.steps(folder)
  }
  if not found:
    raise CheckpointError(
      f'There is no finished checkpoint in {folder}. Run the training command '
      'again.'
    )
  step = metadata.best_step(found, found[max(found)]['best_metric'])
  return folder / str(step), found[step]
