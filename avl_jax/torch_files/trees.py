"""Nested dictionaries as flat ones and back, as in Flax, but without JAX."""

from collections.abc import Mapping
from typing import Any


def flatten(tree: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
  """Path -> leaf; {'a': {'b': 1}} becomes {('a', 'b'): 1}."""
  flat = {}
  for key, value in tree.items():
    if isinstance(value, Mapping):
      flat |= {(key, *path): leaf for path, leaf in flatten(value).items()}
    else:
      flat[key,] = value
  return flat


def unflatten(flat: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
  """The nested dictionary of path -> leaf."""
  tree: dict[str, Any] = {}
  for (*parents, key), leaf in flat.items():
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    node[key] = leaf
  return tree
