"""Reads and writes the files of the authors' release, without PyTorch.

Nothing of a file is executed, and nothing that it claims is allocated before
it is compared with the file's size. `weights` says which of the release's
names is which of ours.
"""

from avl_jax.release.arrays import read_array
from avl_jax.release.containers import (
  read_checkpoint,
  read_state_dict,
  write_state_dict,
)
from avl_jax.release.pickles import read_pickle
from avl_jax.release.safety import OutsideError, ReleaseError, inside

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
