"""State dicts of the release with its keys and small shapes."""

import json

import numpy as np

from tests.helpers import golden

RELEASED = json.loads(golden.find('state_dict.json').read_text())
SMALL = {  # released width -> ours
  **{128: 4, 256: 6, 512: 8, 1024: 10, 4096: 12},
  **{300: 5, 2048: 6, 6144: 14},
}


def small_state(variant='AVLnet'):
  """The release's keys with small shapes, and its dead entries not at rest."""
  described = RELEASED[variant]['keys']
  keys = [key for key, *_ in described]
  state = {}
  for key, shape, dtype, _ in described:
    small = [SMALL.get(n, n) for n in shape]
    state[key] = np.asarray(golden.weight(key, small, keys)).astype(dtype)
    if key.endswith('num_batches_tracked'):
      state[key] = np.array(123456789012, dtype)
  state['DAVEnet.batchnorm1.weight'] = np.array([0.75], np.float32)
  return state


def assert_same(actual, expected):
  """Asserts equal keys in equal order, arrays, shapes and types."""
  assert list(actual) == list(expected)
  for key, value in expected.items():
    np.testing.assert_array_equal(actual[key], value, key, strict=True)
