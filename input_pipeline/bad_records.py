"""Records that are not what they must be."""

from avl_jax import UserError


class DataError(UserError):
  """Records that are missing or not what they must be."""
