"""Preemption: stops a run on SIGTERM or SIGINT, and ends steps that hang."""

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Generator

from avl_jax import logs, multihost
from avl_jax.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
  """Context manager that listens for SIGTERM and SIGINT.

  After the first signal the loop finishes the step, saves a checkpoint and
  raises `Interrupted`. A second signal ends the process at once. A thread
  listens, because Python's own handlers wait until the main thread returns
  from a compilation or a step.

  Example:
    with Stop() as stop:
      for batch in batches:
        train(batch)
        stop.check()
  """

  def __init__(self):
    self._number = 0

  def __enter__(self) -> 'Stop':
    self._handlers = {
      number: signal.signal(number, lambda *_: None) for number in SIGNALS
    }
    self._read, self._write = os.pipe()
    os.set_blocking(self._write, False)
    # Python's C handler writes to it at once, even during a long C call.
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
      logs.write(
        f'{name} received: finishing this step and saving a checkpoint. Send '
        'it again to exit immediately.',
        sys.stderr,
      )

  def requested(self) -> int:
    """Number of a signal that any process of the run has received, or 0.

    All processes must call this equally often; it returns the same number in
    all of them.
    """
    return multihost.largest(self._number)

  def check(self) -> None:
    """Raises Interrupted if a stop is requested; see `requested`."""
    if number := self.requested():
      raise Interrupted(number)


@contextlib.contextmanager
def watchdog(seconds: float) -> Generator[None, None, None]:
  """Context that ends the process with code 1 after `seconds`; 0: never.

  The stacks of all threads are printed to stderr first. It works even where no
  Python code can run, as in a collective that waits for a hanging process.
  """
  if seconds:
    stderr = sys.__stderr__ or sys.stderr
    faulthandler.dump_traceback_later(seconds, exit=True, file=stderr)
  try:
    yield
  finally:
    faulthandler.cancel_dump_traceback_later()
