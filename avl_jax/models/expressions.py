"""Expressions over embeddings, such as 'audio' and 'audio+video'."""

from collections.abc import Mapping
from typing import TypeVar, cast

import jax
import numpy as np

from avl_jax.errors import ConfigError

_HINTS = {
  'text': ' Text needs a model with model.word_dim, word vectors for the '
  'batches (words.vectors) and, for audio_text, model.fused=True.',
  'video': ' Images need a model with model.image_blocks.',
}


Array = TypeVar('Array', jax.Array, np.ndarray)


def combine(embeddings: Mapping[str, Array], expression: str) -> Array:
  """Sum of named embeddings, e.g. 'audio' or 'audio+video'.

  The dot products of a sum are the sums of its terms' dot products: text
  against 'audio+video' is the similarity to audio plus the similarity to video.

  Args:
    embeddings: name -> [N, D].
    expression: names joined by '+'.

  Returns:
    [N, D].

  Raises:
    ConfigError: the expression names an embedding that is absent.

  Example:
    scores = combine(embeddings, 'text') @ combine(embeddings, 'audio+video').T
  """
  names = expression.split('+')
  for name in names:
    if name not in embeddings:
      raise ConfigError(
        f'There is no embedding {name!r}, which the expression {expression!r} '
        f'names. The model gives {sorted(embeddings)}. Join names with "+".'
        + next((hint for key, hint in _HINTS.items() if key in name), '')
      )
  return cast(Array, sum(embeddings[name] for name in names))
