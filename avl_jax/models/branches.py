"""Branches of a model: the variables on which each embedding depends.

In a fused model the audio and the text branch share the bias and the gate of
their head.
"""

from collections.abc import Sequence
from typing import Any

import jax

from avl_jax.errors import ConfigError
from avl_jax.models.avlnet import AVLnet

Tree = Any
_MODULES = {  # branch -> modules below `params` and `batch_stats`
  'audio': ('audio_encoder', 'audio_projection', 'audio_head'),
  'video': ('video_head', 'image_encoder'),
  'text': ('text_pool', 'text_head'),
}
_FUSED = 'audio_text_head'  # has terms called 'audio' and 'text'


def of_model(model: AVLnet) -> tuple[str, ...]:
  """Names of the branches of a model."""
  return ('audio', 'video', *(('text',) if model.word_dim else ()))


def owns(branch: str, path: Sequence[str]) -> bool:
  """Whether a variable belongs to a branch.

  Args:
    branch: 'audio', 'video' or 'text'.
    path: of the variable below `params` or `batch_stats`, such as
      ('video_head', 'linear', 'kernel').
  """
  module, *rest = path
  if module != _FUSED:
    return module in _MODULES[branch]
  other = {'audio': 'text', 'text': 'audio'}.get(branch)
  return other is not None and rest[:1] != [other]


def check_frozen(model: AVLnet, frozen: Sequence[str]) -> None:
  """Checks the names of branches that a training leaves as they are.

  Raises:
    ConfigError: a name is unknown, or no branch is left to be trained.
  """
  choices = of_model(model)
  if unknown := [name for name in frozen if name not in choices]:
    raise ConfigError(
      f'train.frozen is {tuple(frozen)!r}, but the model has no branch '
      f'{unknown[0]!r}. Expected some of {choices}. Set train.frozen.'
    )
  if set(frozen) == set(choices):
    raise ConfigError(
      f'train.frozen is {tuple(frozen)!r}: all branches of the model, so '
      'nothing is trained. Expected at least one fewer. Set train.frozen.'
    )


def freeze(model: AVLnet, frozen: Sequence[str]) -> AVLnet:
  """The model whose frozen branches embed in training as in an evaluation.

  They use the running statistics and mask padding, so what is trained meets
  the embeddings that an evaluation or a search index has.
  """
  changes: dict[str, Any] = {}
  if 'audio' in frozen:
    changes |= {'frozen_statistics': True, 'pooling': 'masked'}
  if 'video' in frozen:
    changes |= {'frozen_image': True}
  return model.clone(**changes) if changes else model


def stop_gradient(params: Tree, frozen: Sequence[str]) -> Tree:
  """The parameters; a loss has no gradient by those of the frozen branches."""
  return _on_frozen(frozen, jax.lax.stop_gradient, params)


def restore(new: Tree, old: Tree, frozen: Sequence[str]) -> Tree:
  """`new` with the arrays of frozen branches from `old`.

  Args:
    new: variables, or a state of an optimizer.
    old: of the same structure.
    frozen: names of branches.
  """
  return _on_frozen(frozen, lambda _, before: before, new, old)


def _on_frozen(frozen: Sequence[str], function: Any, *trees: Tree) -> Tree:
  """Applies a function to the arrays of frozen branches alone."""
  if not frozen:
    return trees[0]

  def visit(path, *leaves):
    names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
    names = names[names[:1] in (['params'], ['batch_stats']) :]
    chosen = names and any(owns(branch, names) for branch in frozen)
    return function(*leaves) if chosen else leaves[0]

  return jax.tree_util.tree_map_with_path(visit, *trees)
