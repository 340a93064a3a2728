"""Weights of the release's audio-video model as our variables, and back.

PyTorch keeps kernels as [out, in] or [out, in, height, width], where one of
height and width is 1 (and `in` is 1 in the first layer); ours are [in, out] or
[time, in, out]. Squeezing and reversing the axes converts either.
"""

import functools
import re

import numpy as np
from flax import traverse_util

from tests import golden

# Part of the model present in the released weights but never applied.
_DEAD = re.compile(r'DAVEnet\.batchnorm1\.|.*\.num_batches_tracked')

_NAMES = (
  (r'^DAVEnet\.', 'audio_encoder.'),
  (r'^DAVEnet_projection', 'audio_projection'),
  (r'^GU_(\w+)', r'\1_head'),
  (r'\.cg\.fc', '.gate.linear'),
  (r'\.fc', '.linear'),
  (r'\.layer(\d)\.(\d)', r'.stage\1_block\2'),
  (r'\.downsample\.0', '.shortcut'),
  (r'\.downsample\.1', '.shortcut_norm'),
  (r'encoder\.conv1', 'encoder.stem'),
  (r'encoder\.bn1', 'encoder.stem_norm'),
  (r'\.bn(\d)', r'.norm\1'),
)


def path(key: str) -> tuple[str, ...]:
  """Where an entry of the release's state dict stands in our variables."""
  module, leaf = key.rsplit('.', 1)
  for pattern, name in _NAMES:
    module = re.sub(pattern, name, module)
  is_norm = re.search(r'norm\d?$', module)
  collection, leaf = {
    'weight': ('params', 'scale' if is_norm else 'kernel'),
    'bias': ('params', 'bias'),
    'running_mean': ('batch_stats', 'mean'),
    'running_var': ('batch_stats', 'var'),
  }[leaf]
  return collection, *module.split('.'), leaf


def from_release(state_dict: dict[str, np.ndarray]) -> dict:
  """Variables of `AVLnet(structure='release')` from a state dict."""
  return traverse_util.unflatten_dict(
    {
      path(key): np.ascontiguousarray(np.squeeze(array).T)
      for key, array in state_dict.items()
      if not _DEAD.match(key)
    }
  )


def to_release(variables: dict, keys: list[str]) -> dict[str, np.ndarray]:
  """Entries `keys` in PyTorch's order of axes, those of length 1 left out.

  Keys that our model does not have are left out too.
  """
  flat = traverse_util.flatten_dict(variables)
  return {
    key: np.asarray(flat[path(key)]).T for key in keys if not _DEAD.match(key)
  }


@functools.lru_cache(maxsize=1)
def golden_variables(embed_dim: int) -> dict:
  """Synthetic weights of the golden set; do not modify."""
  return from_release(golden.state_dict('AVLnet', embd_dim=embed_dim))


def golden_batch(
  inputs: dict, num_frames: list[int], suffix: str = ''
) -> dict[str, np.ndarray]:
  """The model's batch of a golden case's inputs."""
  return {
    'spectrogram': golden.make_input(inputs[f'audio{suffix}']).swapaxes(1, 2),
    'num_frames': np.array(num_frames, np.int32),
    'visual': golden.make_input(inputs[f'video{suffix}']),
  }
