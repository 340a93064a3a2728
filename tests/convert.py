"""The golden set's weights and batches as ours."""

import functools

import numpy as np
from flax import traverse_util

from avl_jax.release import weights
from tests import golden

_WEIGHTS = weights.VARIANTS['AVLnet'].weights


def to_release(variables: dict, keys: list[str]) -> dict[str, np.ndarray]:
  """Entries `keys` in PyTorch's layout, without those never applied."""
  flat = traverse_util.flatten_dict(variables)
  return {
    key: weights.to_theirs(weight, flat[weight.path])
    for key in keys
    if (weight := _WEIGHTS[key]).path
  }


@functools.lru_cache(maxsize=1)
def golden_variables(embed_dim: int) -> dict:
  """Synthetic weights of the golden set; do not modify."""
  state = golden.state_dict('AVLnet', embd_dim=embed_dim)
  return weights.variables_of(state, _WEIGHTS)[0]


def golden_batch(
  inputs: dict, num_frames: list[int], suffix: str = ''
) -> dict[str, np.ndarray]:
  """The model's batch of a golden case's inputs."""
  return {
    'spectrogram': golden.make_input(inputs[f'audio{suffix}']).swapaxes(1, 2),
    'num_frames': np.array(num_frames, np.int32),
    'visual': golden.make_input(inputs[f'video{suffix}']),
  }
