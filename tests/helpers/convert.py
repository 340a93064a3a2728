"""Golden weights and batches in the layout of our models."""

import functools

import numpy as np
from flax import traverse_util

from avl_jax.torch_files import weight_map
from tests.helpers import golden


def to_release(variables: dict, keys: list[str]) -> dict[str, np.ndarray]:
  """Entries `keys` that the model applies, in PyTorch's layout."""
  flat = traverse_util.flatten_dict(variables)
  # A name that occurs in several models has the same path in all of ours.
  table = {}
  for each in weight_map.VARIANTS.values():
    table |= {key: w for key, w in each.items() if w.path}
  return {
    key: weight_map.to_theirs(table[key], flat[table[key].path])
    for key in keys
    if key in table and table[key].path in flat
  }


def variant(net: dict) -> str:
  """Name of the released model with a golden case's `params['net']`."""
  if not net.get('tri_modal', False):
    return 'AVLnet'
  return f'AVLnet-Text-{"Fused" if net["tri_modal_fuse"] else "Tri"}'


def options(net: dict) -> dict:
  """Arguments of `AVLnet` for a golden case's `params['net']`."""
  return {
    'structure': 'release',
    'embed_dim': net['embd_dim'],
    'word_dim': net['we_dim'] if net.get('tri_modal', False) else 0,
    'fused': net.get('tri_modal_fuse', False),
  }


def golden_variables(net: dict) -> dict:
  """Synthetic weights of a case's `params['net']`; do not modify."""
  widths = {name: net[name] for name in ('embd_dim', 'video_dim', 'we_dim')}
  return _golden_variables(variant(net), *widths.items())


@functools.lru_cache(maxsize=1)
def _golden_variables(name: str, *widths: tuple[str, int]) -> dict:
  state = golden.state_dict(name, **dict(widths))
  return weight_map.variables_of(state, weight_map.VARIANTS[name])[0]


def golden_batch(
  inputs: dict, num_frames: list[int], suffix: str = ''
) -> dict[str, np.ndarray]:
  """Model's batch of a golden case's inputs."""
  batch = {
    'spectrogram': golden.make_input(inputs[f'audio{suffix}']).swapaxes(1, 2),
    'num_frames': np.array(num_frames, np.int32),
    'visual': golden.make_input(inputs[f'video{suffix}']),
  }
  if 'text' in inputs:
    batch['words'] = golden.make_input(inputs['text'])
  return batch
