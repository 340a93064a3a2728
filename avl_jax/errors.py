"""Exceptions whose message is for the user, shown without a traceback."""

import signal


class UserError(Exception):
  """A file, setting or resource outside the program is not as expected.

  The message names the thing, what was expected and what to do. `main.py`
  prints the message alone, without a traceback, and exits with 1.
  """


class ConfigError(UserError, ValueError):
  """A setting that is not possible; the message names the choices."""


class Interrupted(BaseException):  # No Exception: nothing went wrong.
  """The run has stopped after a signal.

  Attributes:
    number: number of the signal.
    exit_code: 143 after SIGTERM, 130 after SIGINT.
  """

  def __init__(self, number: int):
    super().__init__(
      f'Stopped by {signal.Signals(number).name}. Run the same command to '
      'resume.'
    )
    self.number, self.exit_code = number, 128 + number
