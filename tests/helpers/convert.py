"""The golden set's weights and batches as ours."""

import functools

import numpy as np
from flax import traverse_util

from avl_jax.torch_files import weight_map
from tests.helpers import golden


def to_release(variables: dict, keys: list[str]) -> dict[str, np.ndarray]:
  """Those of the entries `keys` in PyTorch's layout that the model applies."""
  flat = traverse_util.flatten_dict(variables)
  # Whatever has a name in several models has one place in ours, if any.
  table = {}
  for each in weight_map.VARIANTS.values():
    table |= {key: w for key, w in each.items() if w.path}
  return {
    key: weight_map.to_theirs(table[key], flat[table[key].path])
    for key in keys
    if key in table and table[key].path in flat
  }


def variant(net: dict) -> str:
  """Name of the release's model of a golden case's `params['net']`."""
  if not net.get('tri_modal', False):
    return 'AVLnet'
  return f'AVLnet-Text-{"Fused" if net["tri_modal_fuse"] else "Tri"}'


def options(net: dict) -> dict:
  """`AVLnet`'s arguments for a golden case's `params['net']`."""
  return {
    'structure': 'release',
    'embed_dim': net['embd_dim'],
    'word_dim': net['we_dim'] if net.get('tri_modal', False) else 0,
    'fused': net.get('tri_modal_fuse', False),
  }


def golden_variables(net: dict) -> dict:
  """Synthetic weights of a case's `params['net']`; do not modify."""
  return _golden_variables(variant(net), net['embd_dim'])


@functools.lru_cache(maxsize=1)
def _golden_variables(name: str, embed_dim: int) -> dict:
  state = golden.state_dict(name, embd_dim=embed_dim)
  return weight_map.variables_of(state, weight_map.VARIANTS[name])[0]


def golden_batch(
  inputs: dict, num_frames: list[int], suffix: str = ''
) -> dict[str, np.ndarray]:
  """The model's batch of a golden case's inputs."""
  batch = {
    'spectrogram': golden.make_input(inputs[f'audio{suffix}']).swapaxes(1, 2),
    'num_frames': np.array(num_frames, np.int32),
    'visual': golden.make_input(inputs[f'video{suffix}']),
  }
  if 'text' in inputs:
    batch['words'] = golden.make_input(inputs['text'])
  return batch
