"""Errors of files in the authors' formats."""

from avl_jax.errors import UserError


class ReleaseError(UserError, ValueError):
  """A file that is damaged or holds more than arrays and containers."""
