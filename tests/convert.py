"""Weights of the release's models as our variables, and back.

PyTorch keeps kernels as [out, in] or [out, in, height, width], where one of
height and width is 1 (and `in` is 1 in the first layer); ours are [in, out] or
[time, in, out]. Squeezing and reversing the axes converts either.
"""

import functools
import re
from collections.abc import Iterable

import numpy as np
from flax import traverse_util

from tests import golden

# Part of the model present in the released weights but never applied.
_DEAD = re.compile(r'DAVEnet\.batchnorm1\.|.*\.num_batches_tracked')
_DEAD_IF_FUSED = re.compile(r'GU_audio\.')

_NAMES = (
  (r'^DAVEnet\.', 'audio_encoder.'),
  (r'^DAVEnet_projection', 'audio_projection'),
  (r'^text_pooling_caption', 'text_pool'),
  (r'^GU_text_captions', 'text_head'),
  (r'^GU_(\w+)', r'\1_head'),
  (r'\.fc_(\w+)', r'.\1'),
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


def is_dead(key: str, keys: Iterable[str]) -> bool:
  """Whether an entry of the state dict with these keys is never applied."""
  fused = 'GU_audio_text.cg.fc.weight' in keys
  return bool(_DEAD.match(key) or (fused and _DEAD_IF_FUSED.match(key)))


def from_release(state_dict: dict[str, np.ndarray]) -> dict:
  """Variables of `AVLnet(structure='release', ...)` from a state dict."""
  return traverse_util.unflatten_dict(
    {
      path(key): np.ascontiguousarray(np.squeeze(array).T)
      for key, array in state_dict.items()
      if not is_dead(key, state_dict)
    }
  )


def to_release(variables: dict, keys: list[str]) -> dict[str, np.ndarray]:
  """Entries `keys` in PyTorch's order of axes, those of length 1 left out.

  Keys that our model does not have are left out too.
  """
  flat = traverse_util.flatten_dict(variables)
  return {
    key: np.asarray(flat[path(key)]).T for key in keys if not is_dead(key, keys)
  }


def options(net: dict) -> dict:
  """`AVLnet`'s arguments for a golden case's `params['net']`."""
  with_text = net.get('tri_modal', False)
  return {
    'structure': 'release',
    'embed_dim': net['embd_dim'],
    'word_dim': net['we_dim'] if with_text else 0,
    'fused': net.get('tri_modal_fuse', False),
  }


def golden_variables(net: dict) -> dict:
  """Synthetic weights of a case's `params['net']`; do not modify."""
  chosen = options(net)
  variant = 'AVLnet'
  if chosen['word_dim']:
    variant += '-Text-Fused' if chosen['fused'] else '-Text-Tri'
  return _golden_variables(variant, net['embd_dim'])


@functools.lru_cache(maxsize=1)
def _golden_variables(variant: str, embed_dim: int) -> dict:
  return from_release(golden.state_dict(variant, embd_dim=embed_dim))


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
