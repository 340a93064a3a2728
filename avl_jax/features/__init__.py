"""Media to numpy arrays: nothing here needs JAX to be imported."""


class MediaError(ValueError):
  """A video, image or sound that cannot be read; the message names it."""
