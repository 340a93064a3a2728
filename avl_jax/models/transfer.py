"""Weight transfer: starts a model from the variables of a smaller one."""

from collections.abc import Mapping
from typing import cast

import jax
from flax import traverse_util

from avl_jax.errors import ConfigError

Arrays = dict[tuple[str, ...], jax.Array]  # By path.

# Modules that the source may lack: the text branch, the image encoder, what the
# loss learns.
_NEW = {'text', 'text_head', 'text_pool', 'image_encoder', 'loss'}
# Parameters of AVLnet's audio head -> their paths in the fused head.
_FUSED: dict[tuple[str, ...], tuple[str, ...]] = {
  ('linear', 'kernel'): ('audio', 'kernel'),
  ('linear', 'bias'): ('bias',),
}


def carry_over(source: Mapping, fresh: Mapping) -> dict:
  """Takes variables from a trained model where it has them, else fresh ones.

  This turns AVLnet, or a fused model without text, into a model with text
  (thesis, section 4.2.2): audio and video weights are carried over, and the
  text branch stays as it was initialized. In the thesis' structure, AVLnet is
  the fused model without its text term. In the release's structure it is not,
  because its audio projection is in another place: train a fused model without
  text first. A model trained on visual features becomes one that encodes
  images in the same way (chapter 5). What the source's loss learnt is left out
  if the new loss does not learn it.

  Args:
    source: variables of the trained model.
    fresh: variables of the new model, from `init_variables`.

  Returns:
    Variables with the structure and the shapes of `fresh`.

  Raises:
    ConfigError: an array of `source` has no place in `fresh` or has another
      shape there, or modules other than text and the image encoder are new.

  Example:
    model = AVLnet(**config.model, word_dim=300, fused=True)
    variables = carry_over(trained, init_variables(model, visual_width))
  """
  old, new = (
    cast(Arrays, traverse_util.flatten_dict(tree)) for tree in (source, fresh)
  )
  if ('params', 'audio_text_head', 'bias') in new:
    old = {_fused_path(path): array for path, array in old.items()}
  old = {p: x for p, x in old.items() if p[1] != 'loss' or p in new}
  misfits = {
    path
    for path, array in old.items()
    if path not in new or new[path].shape != array.shape
  }
  misfits |= {p for p in new.keys() - old.keys() if not _NEW & set(p)}
  if misfits:
    raise ConfigError(
      'The initial weights are of another model. These arrays are in only one '
      'of the two models or have different shapes: '
      f'{", ".join(sorted(map("/".join, misfits)))}. Only the text branch and '
      "the image encoder may be new. A fused model in the release's structure "
      'starts from a model with model.fused=True, model.word_dim=0.'
    )
  return traverse_util.unflatten_dict(new | old)


def _fused_path(path: tuple[str, ...]) -> tuple[str, ...]:
  """Path in a fused head of a parameter of AVLnet's audio head."""
  collection, module, *rest = path
  if module != 'audio_head':
    return path
  moved = _FUSED.get(tuple(rest), tuple(rest))
  return (collection, 'audio_text_head', *moved)
