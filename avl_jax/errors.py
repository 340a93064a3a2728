"""Audio-video language representations in JAX: search video by voice."""


class UserError(Exception):
  """Something outside the program is not as it must be.

  The message names the thing, what was expected and what to do. `main.py`
  prints it alone, without a traceback, and exits with 1.
  """


class ConfigError(UserError, ValueError):
  """A setting that is not possible; the message names the choices."""
