"""What ends a run before its last step: signals, and steps that hang."""

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator

from avl_jax import multihost

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(BaseException):  # Nothing went wrong.
  """The run was asked to stop, and has.

  Attributes:
    number: of the signal.
    exit_code: 143 after SIGTERM, 130 after SIGINT.
  """

  def __init__(self, number: int):
    super().__init__(
      f'stopped by {signal.Signals(number).name}; the same command goes on'
    )
    self.number, self.exit_code = number, 128 + number


class Stop:
  """Listens for SIGTERM and SIGINT; as a context manager.

  The first only asks: the loop ends the step, saves and raises `Interrupted`.
  A second ends the process at once. A thread listens, for Python's handlers
  wait until the main thread is back from a compilation or a step.
  """

  def __init__(self):
    self._number = 0

  def __enter__(self) -> 'Stop':
    self._handlers = {
      number: signal.signal(number, lambda *_: None) for number in SIGNALS
    }
    self._read, self._write = os.pipe()
    os.set_blocking(self._write, False)
    # Python's C handler writes there at once, whatever Python is doing.
    self._before = signal.set_wakeup_fd(self._write)
    self._thread = threading.Thread(target=self._listen, daemon=True)
    self._thread.start()
    return self

  def __exit__(self, *_) -> None:
    signal.set_wakeup_fd(self._before)
    for number, handler in self._handlers.items():
      signal.signal(number, handler)
    os.close(self._write)
    self._thread.join()
    os.close(self._read)

  def _listen(self) -> None:
    while byte := os.read(self._read, 1):
      if (number := byte[0]) not in SIGNALS:
        continue
      if self._number:
        os._exit(128 + number)
      self._number = number
      name = signal.Signals(number).name
      print(
        f'\n{name}: finishing this step and saving; once more to stop at once',
        file=sys.stderr,
        flush=True,
      )

  def asked(self) -> int:
    """Number of the signal that any host has received, or 0.

    Every host must call this equally often: all learn it at the same call.
    """
    return multihost.largest(self._number)

  def check(self) -> None:
    """Raises Interrupted if any host was asked to stop; see `asked`."""
    if number := self.asked():
      raise Interrupted(number)


@contextlib.contextmanager
def watchdog(seconds: float) -> Iterator[None]:
  """Ends the process with 1 if what is inside takes longer than `seconds`.

  The stacks of all threads go to stderr first. 0 watches nothing. It works
  where Python does not, as in a collective that waits for a host that hangs.
  """
  if seconds:
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)
  try:
    yield
  finally:
    faulthandler.cancel_dump_traceback_later()
