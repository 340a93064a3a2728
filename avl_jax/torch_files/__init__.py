"""Reads and writes the files of the authors' release, without PyTorch.

Nothing of a file is executed, and nothing that it claims is allocated before
it is compared with the file's size. `weights` says which of the release's
names is which of ours.
"""

from avl_jax.torch_files.checkpoint import (
  read_checkpoint,
  read_state_dict,
  write_state_dict,
)
from avl_jax.torch_files.errors import OutsideError, ReleaseError, inside
from avl_jax.torch_files.npy import read_array
from avl_jax.torch_files.pickles import read_pickle

__all__ = [
  'OutsideError',
  'ReleaseError',
  'inside',
  'read_array',
  'read_checkpoint',
  'read_pickle',
  'read_state_dict',
  'write_state_dict',
]
