"""Reads and writes weights as PyTorch's users exchange them, without PyTorch.

Weights have three formats: PyTorch's zip archive, its older container of
pickles, and safetensors. All come from PyTorch's users, hence the package's
name. The authors' pickles and arrays of features are read too.

No code in a file is executed, and no memory is allocated for a size that a
file claims before the claim is compared with the size of the file.
`weight_map` maps the release's parameter names to paths in our variables.
"""

from avl_jax.torch_files.checkpoint import read_checkpoint
from avl_jax.torch_files.errors import ReleaseError
from avl_jax.torch_files.npy import read_array
from avl_jax.torch_files.pickles import pickled_items, read_pickle
from avl_jax.torch_files.state_dicts import read_state_dict, write_state_dict

__all__ = [
  'ReleaseError',
  'pickled_items',
  'read_array',
  'read_checkpoint',
  'read_pickle',
  'read_state_dict',
  'write_state_dict',
]
