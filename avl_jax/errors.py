"""Errors whose message is for the user, shown without a traceback."""


class UserError(Exception):
  """A file, setting or resource outside the program is not as expected.

  The message names the thing, what was expected and what to do. `main.py`
  prints the message alone, without a traceback, and exits with 1.
  """


class ConfigError(UserError, ValueError):
  """A setting that is not possible; the message names the choices."""
