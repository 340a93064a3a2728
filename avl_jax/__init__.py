"""Audio-video language representations in JAX: search video by voice.

Example:
  import avl_jax

  model = avl_jax.load('runs/stamps')
  vectors = avl_jax.embed(model, audio='question.wav', image=['a.png', 'b.png'])
  scores = vectors['audio'] @ vectors['video'].T  # [1, D] x [D, 2]
  print(avl_jax.load_index('runs/index').search('question.wav').table())
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from avl_jax.search.query.searcher import load_index
  from avl_jax.trained_model import embed, load

_MODULES = {
  'embed': 'avl_jax.trained_model',
  'load': 'avl_jax.trained_model',
  'load_index': 'avl_jax.search.query.searcher',
}
__all__ = ['embed', 'load', 'load_index']


def __getattr__(name: str) -> Any:
  """Imports the public functions when they are first used, JAX with them."""
  if name not in __all__:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
  return __all__
