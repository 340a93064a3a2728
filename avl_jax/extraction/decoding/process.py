"""Child process of a decoder, as its parent sees it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from typing import Any

import numpy as np
import tqdm

from avl_jax.extraction.decoding import protocol

_MODULE = 'avl_jax.extraction.decoding.child'
_KEPT = ('LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH', 'PATH', 'TZ')  # environment
# BLAS is not used, and its threads would not be needed; few arenas, because
# each takes address space.
_THREADS = {'OPENBLAS_NUM_THREADS': '1', 'OMP_NUM_THREADS': '1'}
_ARENAS = {'MALLOC_ARENA_MAX': '4'}
_MOST_LINES = 20  # of a child that are shown for a file


class EndedError(Exception):
  """The child has ended, or what it sends makes no sense.

  Attributes:
    cause: 'SIGSEGV' or 'exit code 1'; or what makes no sense.
  """

  def __init__(self, cause: str):
    super().__init__(cause)
    self.cause = cause


class DecodingProcess:
  """A process in a session of its own, which is killed with its group.

  Attributes:
    is_busy: whether an answer is due, or its end.
    seconds: of waiting that are left for the answer.
    stall: seconds that the child may be silent.
    lines: number of the child's lines that have been shown of this file.
  """

  def __init__(self, stall: float):
    """Starts the process, without waiting for it; see the attributes."""
    self.is_busy, self.seconds, self.stall, self.lines = True, 0.0, stall, 0
    self._channel, theirs = socket.socketpair()
    # As much as the system permits, so that the two seldom wait.
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, protocol.CHUNK)
    paths = [os.path.abspath(path) for path in sys.path]
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    with theirs:
      process = subprocess.Popen(
        [sys.executable, '-P', '-s', '-m', _MODULE],
        stdin=theirs.fileno(),
        stdout=subprocess.DEVNULL,
        cwd='/',
        env=kept | _THREADS | _ARENAS | {'PYTHONPATH': os.pathsep.join(paths)},
        start_new_session=True,
      )
    self.pid = process.pid
    self._process = process
    self.stop = weakref.finalize(self, _stop, process, self._channel)

  def hang_up(self) -> None:
    """Closes the line, from any thread: whoever waits for the child learns it.

    That thread stops the process.
    """
    with contextlib.suppress(OSError):  # It is closed.
      self._channel.shutdown(socket.SHUT_RDWR)

  def is_ready(self) -> bool:
    """Whether the child waits for a request, and has sent nothing unasked."""
    self._channel.setblocking(False)
    try:
      self._channel.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
      return not self.is_busy
    except OSError:
      return False
    return False

  def ask(
    self,
    request: dict[str, Any],
    seconds: float = 0.0,
    descriptors: tuple[int, ...] = (),
  ) -> None:
    """Sends a request.

    Args:
      request: see `protocol`.
      seconds: that the answer may take; 0: there is none.
      descriptors: for the child.

    Raises:
      EndedError: the child is gone.
    """
    self.is_busy, self.seconds = seconds > 0, seconds
    self._channel.settimeout(self.stall)
    try:
      protocol.send(self._channel, request, descriptors=descriptors)
    except OSError as error:
      raise self._ended() from error

  def receive(self) -> dict[str, Any]:
    """Waits for the header of an answer; shows lines that come before it.

    Raises:
      TimeoutError: the child is silent, or the time is up.
      EndedError: the child has ended, or talks nonsense.
    """
    start = time.monotonic()
    try:
      while True:
        self._check_time(start)
        length = bytearray(protocol.HEADER.size)
        self._fill(length, start)
        (size,) = protocol.HEADER.unpack(length)
        if size > protocol.LONGEST_HEADER:
          raise EndedError(f'a header of {size} bytes')
        text = bytearray(size)
        self._fill(text, start)
        try:
          header = protocol.parse(text)
        except ValueError as error:
          raise EndedError('a header that is no JSON object') from error
        kind = header.get('kind')
        if kind == 'line':
          self._show(str(header.get('text')))
        elif kind != 'working':
          return header
    finally:
      self.seconds -= time.monotonic() - start

  def fill(self, array: np.ndarray) -> None:
    """Receives the values of an array; raises as `receive` does."""
    start = time.monotonic()
    try:
      self._fill(array.reshape(-1).view(np.uint8).data, start)
    finally:
      self.seconds -= time.monotonic() - start

  def _check_time(self, start: float) -> float:
    """Seconds left of an answer for which we have waited since `start`."""
    left = self.seconds - (time.monotonic() - start)
    if left <= 0:
      raise TimeoutError
    return left

  def _fill(self, buffer: bytearray | memoryview, start: float) -> None:
    view = memoryview(buffer)
    while view:
      self._channel.settimeout(min(self.stall, self._check_time(start)))
      try:
        count = self._channel.recv_into(view)
      except ConnectionError as error:
        raise self._ended() from error
      if not count:
        raise self._ended()
      view = view[count:]

  def _show(self, line: str) -> None:
    """Prints a line of the child."""
    self.lines += 1
    if self.lines <= _MOST_LINES:
      text = ''.join(c if c.isprintable() else '?' for c in line[:1000])
      tqdm.tqdm.write(text, file=sys.stderr)

  def _ended(self) -> EndedError:
    """Stops the child, if it has not ended itself; how it ended."""
    self.stop()
    code = self._process.returncode
    if code >= 0:
      return EndedError(f'exit code {code}')
    with contextlib.suppress(ValueError):
      return EndedError(signal.Signals(-code).name)
    return EndedError(f'signal {-code}')


def _stop(process: subprocess.Popen, channel: socket.socket) -> None:
  """Kills a process and its group; waits until it is gone."""
  channel.close()
  # Before it is waited for, so that its number is not another's. A process that
  # has ended keeps its status.
  with contextlib.suppress(ProcessLookupError, PermissionError):
    os.killpg(process.pid, signal.SIGKILL)
  process.wait()
