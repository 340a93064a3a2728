"""Decodes untrusted media files in a child process.

A crash, a hang or a bomb costs one file, which gets a word of `Status`; the
next file gets another child. `sandbox` says what the child cannot do,
`limits` what a file may cost.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from avl_jax import logs
from avl_jax.errors import UserError
from avl_jax.extraction.decoding.decoded_file import DecodedFile
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.extraction.decoding.process import DecodingProcess, EndedError
from avl_jax.features import UnexpectedError, reading
from avl_jax.features.ffmpeg import containers

_START = 120.0  # seconds that a child may take to start on a busy machine
Result = TypeVar('Result')  # of what uses a file


class Decoder:
  """A child process that decodes one file after the other.

  It is started with the first file, and again after a crash, a hang or a
  number of files. It ends with the decoder and with this process. Use it in the
  thread that opens the first file: on Linux the child ends with that thread.

  Example:
    with Decoder() as decoder:
      for path in ('cooking.mp4', 'baking.mp4'):
        waveform = decoder.run(path, lambda media: media.waveform())
  """

  def __init__(self, limits: Limits | None = None):
    """Sets the limits; None: the usual ones."""
    self._limits = limits or Limits()
    self._child: DecodingProcess | None = None
    self._files = 0  # that the child has opened
    self._is_stopped = self._is_given_up = False
    # Whoever takes it first tells which limits hold.
    self._telling = threading.Lock()

  def sibling(self) -> 'Decoder':
    """A decoder of the same limits, for another thread."""
    sibling = Decoder(self._limits)
    sibling._telling = self._telling
    return sibling

  def stop(self) -> None:
    """Ends the decoder for good, from any thread: the file in use fails."""
    self._is_stopped = True
    if child := self._child:
      child.hang_up()

  def interrupt(self) -> None:
    """Gives up the file in use, from any thread: it fails, the next does not.

    Between two files, the next one gets another child.
    """
    self._is_given_up = True
    if child := self._child:
      child.hang_up()

  def __enter__(self) -> 'Decoder':
    return self

  def __exit__(self, *_) -> None:
    self.close()

  def close(self) -> None:
    """Ends the child, if there is one."""
    if self._child:
      self._child.stop()
    self._child, self._files = None, 0

  def run(
    self, path: str | os.PathLike, use: Callable[[DecodedFile], Result]
  ) -> Result:
    """Opens a media file and uses it.

    If a child that has decoded other files crashes, one of them may have been
    the cause. So the file gets a second chance, in a new child.

    Args:
      path: see `open`.
      use: called with the file, perhaps again; what it returns is returned.

    Raises:
      MediaError: as `open` and `use` raise it.
    """
    had_files, self._is_given_up = self._files > 0, False
    try:
      with self.open(path) as media:
        return use(media)
    except UnexpectedError as error:
      has_crashed = isinstance(error.__cause__, EndedError)
      if not (had_files and has_crashed) or self._is_given_up:
        raise
    with self.open(path) as media:
      return use(media)

  @contextlib.contextmanager
  def open(self, path: str | os.PathLike) -> Iterator[DecodedFile]:
    """Opens a media file in the child.

    Args:
      path: of a local file. Only its descriptor is given to the child.

    Raises:
      MediaError: the file is missing, empty or cannot be opened; RefusedError:
        it is longer, or has more streams, than the limits say.
      UserError: the child does not start.
    """
    name = os.fspath(path)
    with reading.guard(name):
      containers.check_file(name)
      # Should the file have become a pipe since, opening it does not wait.
      descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    media = None
    try:
      child = self._ready()
      self._files += 1
      media = DecodedFile(child, name, descriptor, self._limits)
      yield media
    finally:
      os.close(descriptor)
      if media:
        media.is_open = False
      self._finish()

  def _finish(self) -> None:
    """Has the child close its file; ends a child that is in the middle."""
    child, is_old = self._child, self._files >= self._limits.files
    if not child:
      return
    try:
      if child.is_busy or is_old:
        self.close()
      else:
        child.ask({'op': 'close'})
    except EndedError:
      self.close()

  def _ready(self) -> DecodingProcess:
    """A child that waits for a file."""
    if self._child and self._child.is_ready():
      return self._child
    self.close()
    if self._is_stopped:
      raise RuntimeError('The decoder has been stopped.')
    names = ('memory', 'longest_seconds', 'most_streams')
    try:
      self._child = DecodingProcess(_START)
      if self._is_stopped:  # `stop` may have come before this child.
        raise EndedError('stopped')
      self._child.ask({n: getattr(self._limits, n) for n in names}, _START)
      ready = self._child.receive()
    except (EndedError, OSError) as error:  # TimeoutError is one.
      self.close()
      raise UserError(
        'The child process that decodes media does not start '
        f'({str(error) or "time is up"}). Expected a Python that can import '
        'av, soundfile and soxr. See its lines above.'
      ) from error
    self._child.is_busy, self._child.stall = False, self._limits.stall_seconds
    if self._telling.acquire(blocking=False):
      self._tell(ready['lacking'])  # It has not seen a file yet.
    return self._child

  def _tell(self, lacking: list[str]) -> None:
    if not lacking:
      logs.write(
        'Media are decoded in a child process without network, other files, '
        f'and more than {self._limits.memory / 2**30:g} GiB of memory.'
      )
    else:
      logs.write(
        'Warning: Media are decoded in a child process, which this system '
        f'cannot limit in {" and ".join(lacking)}. Decode untrusted files on '
        'Linux.'
      )
