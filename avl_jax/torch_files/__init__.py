"""Reads and writes the files of the authors' release, without PyTorch.

No code in a file is executed, and no memory is allocated for a size that a
file claims before the claim is compared with the size of the file.
`weight_map` maps the release's parameter names to paths in our variables.
"""

from avl_jax.torch_files.checkpoint import (
  read_checkpoint,
  read_state_dict,
  write_state_dict,
)
from avl_jax.torch_files.errors import ReleaseError
from avl_jax.torch_files.npy import read_array
from avl_jax.torch_files.pickles import pickled_items, read_pickle

__all__ = [
  'ReleaseError',
  'pickled_items',
  'read_array',
  'read_checkpoint',
  'read_pickle',
  'read_state_dict',
  'write_state_dict',
]
