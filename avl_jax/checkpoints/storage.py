"""Orbax storage of checkpoint arrays: items of a state, save, restore."""

import contextlib
import dataclasses
import pathlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from avl_jax.checkpoints import early_layout, manifest

Tree = Any
FOLDER = 'checkpoints'  # of a workdir
# Orbax takes brackets for a pattern, and 'gs:' for the beginning of an address.
# TensorStore takes a backslash for a slash, and UTF-8 only: Python has other
# bytes of a name as surrogates.
_MISREAD = re.compile(r'[\[\\\udc80-\udcff]|:/')


def steps(folder: pathlib.Path) -> list[int]:
  """Steps of the checkpoints in a folder, ascending."""
  return sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal())


def items(state: Any) -> dict[str, Tree]:
  """Items of a checkpoint: 'variables', and all other fields in 'training'.

  Args:
    state: `train.step.TrainState`.
  """
  fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
  return {'variables': fields.pop('variables'), 'training': fields}


def first_not_finite(trees: Tree) -> str:
  """Path of the first array that has a NaN or an infinity; '': none has."""
  for path, leaf in jax.tree.leaves_with_path(trees):
    if leaf.dtype.kind == 'f' and not np.isfinite(leaf).all():
      return jax.tree_util.keystr(path)
  return ''


def find_damage(path: pathlib.Path) -> str:
  """`manifest.find_damage`; '' for an early checkpoint, without manifest."""
  return '' if early_layout.is_early(path) else manifest.find_damage(path)


def save(folder: pathlib.Path, trees: Mapping[str, Tree]) -> None:
  """Writes each item into a subfolder of its name.

  Raises:
    OSError: the disk is full or broken.
    ValueError: the same, from TensorStore.
  """
  with _checkpointer() as checkpointer, _plain_name(folder) as plain:
    for name, tree in trees.items():
      checkpointer.save(plain / name, args=ocp.args.StandardSave(tree))


def restore(path: pathlib.Path, template: Tree) -> Tree:
  """Reads an item.

  Args:
    path: folder of the item.
    template: tree of arrays or `jax.ShapeDtypeStruct` with the item's shapes
      and types.

  Returns:
    The same tree of numpy arrays.
  """
  arrays = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), template)
  with _checkpointer() as checkpointer, _plain_name(path) as plain:
    return checkpointer.restore(plain, args=ocp.args.StandardRestore(arrays))


def restore_items(
  path: pathlib.Path, templates: Mapping[str, Tree]
) -> dict[str, Tree]:
  """Reads the items of a checkpoint, each like `restore`.

  Args:
    path: folder of the checkpoint.
    templates: of `items`. What an early checkpoint lacks is not returned.
  """
  if early_layout.is_early(path):
    training = templates['training'].items()
    kept = {k: v for k, v in training if k not in early_layout.LACKING}
    templates = {**templates, 'training': kept}
  return {name: restore(path / name, tree) for name, tree in templates.items()}


@contextlib.contextmanager
def _plain_name(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """The folder, or a link to it where Orbax would misread its name."""
  if not _MISREAD.search(str(folder)):
    yield folder
    return
  with tempfile.TemporaryDirectory() as links:
    link = pathlib.Path(links) / folder.name
    link.symlink_to(folder)
    yield link


def _checkpointer() -> ocp.Checkpointer:
  """Orbax for this process alone, without the other processes of a run."""
  alone = ocp.options.MultiprocessingOptions(
    primary_host=jax.process_index(),
    active_processes={jax.process_index()},
    barrier_sync_key_prefix=f'host{jax.process_index()}',
  )
  return ocp.Checkpointer(
    ocp.StandardCheckpointHandler(multiprocessing_options=alone),
    multiprocessing_options=alone,
  )
