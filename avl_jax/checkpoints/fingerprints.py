"""Fingerprint of one branch of a model, by which runs share a search index."""

import hashlib
from collections.abc import Mapping

import jax
import numpy as np

from avl_jax.errors import ConfigError
from avl_jax.models import branches
from avl_jax.models.avlnet import AVLnet


def branch_fingerprint(
  model: AVLnet, variables: Mapping, branch: str = 'video'
) -> str:
  """Fingerprint of what maps inputs of one modality to embeddings.

  Two runs with the same fingerprint embed, for example, pictures to the same
  vectors, whatever their audio branches are. The fingerprint does not depend on
  files, dtype of computation, devices, or what the loss learns.

  Args:
    model: see `AVLnet`.
    variables: {'params', 'batch_stats'}, as `loading.load` returns them.
    branch: 'audio', 'video' or 'text'.

  Returns:
    16 hexadecimal digits.

  Raises:
    ConfigError: the model has no such branch.
  """
  choices = branches.of_model(model)
  if branch not in choices:
    raise ConfigError(
      f'The model has no branch {branch!r}. Expected one of {choices}.'
    )
  digest = hashlib.sha256(f'normalize={model.normalize}'.encode())
  for path, leaf in jax.tree.leaves_with_path(dict(variables)):
    _, *names = (key.key for key in path)
    if branches.owns(branch, names):
      array = np.ascontiguousarray(leaf)
      name = f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}'
      digest.update(name.encode())
      digest.update(array.tobytes())
  return digest.hexdigest()[:16]
