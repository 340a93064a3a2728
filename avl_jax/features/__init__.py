"""Media to numpy arrays: nothing here needs JAX to be imported."""

from avl_jax import UserError


class MediaError(UserError, ValueError):
  """A video, image or sound that cannot be read; the message names it."""
