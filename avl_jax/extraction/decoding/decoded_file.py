"""A media file that is decoded in a child process."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator

import numpy as np

from avl_jax.extraction.decoding import answers
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.extraction.decoding.process import DecodingProcess, EndedError
from avl_jax.features import (
  SAMPLE_RATE,
  MediaError,
  RefusedError,
  TimedOutError,
  UnexpectedError,
)

# What a child may call an error.
_ERRORS: dict[str, type[MediaError]] = {
  error.__name__: error for error in (MediaError, *MediaError.__subclasses__())
}


class DecodedFile:
  """A file that is open in the child; one thing at a time can be asked for.

  Attributes:
    name: path of the file.
    is_open: whether it can still be asked.
  """

  def __init__(
    self, child: DecodingProcess, name: str, descriptor: int, limits: Limits
  ):
    """Gives the file to the child.

    Args:
      child: that waits for a file.
      name: path of the file.
      descriptor: of the file.
      limits: of the file.

    Raises:
      MediaError: see `Decoder.open`.
    """
    self.name, self.is_open = name, True
    self._child, self._limits = child, limits
    self._size, self._duration = os.fstat(descriptor).st_size, 0.0
    child.lines = 0
    with self._errors():
      self._ask('open', (descriptor,), name=name, size=self._size)
      duration = self._answer('opened').get('duration')
      if not isinstance(duration, float) or not 0 <= duration < math.inf:
        raise EndedError('a duration that is none')
      child.is_busy = False
    # Where the file does not say, the time depends on its size.
    longest = limits.longest_seconds
    self._duration = min(duration or longest, longest)

  def waveform(self, start: float = 0.0, end: float = math.inf) -> np.ndarray:
    """Decodes the sound; the same bits as those of `audio.read_audio`.

    Args:
      start: of the piece, seconds.
      end: of the piece, seconds.

    Returns:
      float32 [samples], mono at 16 kHz.

    Raises:
      MediaError: as `audio.read_audio` raises it; RefusedError, TimedOutError:
        a limit; else unreadable: the child has crashed.
    """
    most = self._limits.count(SAMPLE_RATE, start, end)

    def check(shape: list[int]) -> None:
      self._check_count(shape[0], most)

    return self._array('waveform', 1, np.float32, check, start=start, end=end)

  def frames(
    self,
    fps: float,
    size: int,
    crop: bool,
    start: float = 0.0,
    end: float | None = None,
  ) -> Iterator[np.ndarray]:
    """Decodes pictures; the same bits as those of `video.frames`.

    They come as they are decoded: the child waits until they are taken.

    Args:
      fps: see `video.frames`, also for the other arguments.
      size: the shorter side, in pixels.
      crop: keep only the centre.
      start: of the piece, seconds.
      end: of the piece, seconds; None: until the end.

    Yields:
      uint8 [H, W, 3], RGB.

    Raises:
      MediaError: as `video.frames` raises it; or see `waveform`.
    """
    left, picture = self._limits.count(fps, start, end), []
    options = {'fps': fps, 'size': size, 'crop': crop}
    with self._errors():
      self._ask('frames', **options, start=start, end=end)
      while (answer := self._answer('frames', 'end'))['kind'] == 'frames':
        count, *shape = answers.shape(answer, 4)
        picture = picture or shape
        if shape != picture or not answers.is_picture(count, shape, size, crop):
          raise EndedError(f'pictures {count} x {shape}')
        self._check_count(count, left)
        left -= count
        batch = np.empty((count, *shape), np.uint8)
        self._child.fill(batch)
        yield from batch
      self._child.is_busy = False

  def picture(self, longest: int = 0) -> np.ndarray:
    """Reads an image file; the same bits as those of `images.read_image`.

    Args:
      longest: side to which a larger picture is reduced, pixels; 0: none.

    Returns:
      uint8 [H, W, 3], RGB.

    Raises:
      MediaError: as `images.read_image` raises it; or see `waveform`.
    """
    check = answers.check_still
    return self._array('picture', 3, np.uint8, check, longest=longest)

  def clip(
    self, start: float, end: float, size: int, most_bytes: int
  ) -> np.ndarray:
    """A piece as a browser plays it, uint8 [bytes]; see `transcoding.clip`.

    Raises:
      MediaError: as `transcoding.clip` raises it; or see `waveform`.
    """

    def check(shape: list[int]) -> None:
      if shape[0] > most_bytes:
        raise EndedError(f'a clip of {shape[0]} bytes')

    options = {'start': start, 'end': end, 'size': size}
    return self._array(
      'clip', 1, np.uint8, check, **options, most_bytes=most_bytes
    )

  def streams(self) -> dict[str, str]:
    """What the file consists of, see `transcoding.streams`.

    Raises:
      MediaError: the file cannot be opened; or see `waveform`.
    """
    with self._errors():
      self._ask('streams')
      found = self._answer('streams')
      self._child.is_busy = False
    return {str(k): str(v)[:100] for k, v in found.items() if k != 'kind'}

  def _array(
    self,
    kind: str,
    axes: int,
    dtype: type,
    check: Callable[[list[int]], None],
    **options,
  ) -> np.ndarray:
    """Asks for one array, whose shape is checked before it is received."""
    with self._errors():
      self._ask(kind, **options)
      shape = answers.shape(self._answer(kind), axes)
      check(shape)
      array = np.empty(shape, dtype)
      self._child.fill(array)
      if array.dtype.kind == 'f' and not np.isfinite(array).all():
        raise EndedError('values that are not finite')
      self._child.is_busy = False
      return array

  def _ask(
    self, operation: str, descriptors: tuple[int, ...] = (), **options
  ) -> None:
    if not self.is_open:
      raise RuntimeError(f'{self.name}: The file is closed.')
    if self._child.is_busy:
      raise RuntimeError(f'{self.name}: Another answer is not at its end.')
    wall, processor = self._limits.times(self._duration, self._size)
    request = {'op': operation, 'processor': processor, **options}
    self._child.ask(request, wall, descriptors)

  def _answer(self, *kinds: str) -> dict:
    """The header of an answer; MediaError in place of it, as the child says."""
    header = self._child.receive()
    kind = header.get('kind')
    if kind == 'error':
      self._child.is_busy = False
      text = str(header.get('message'))[:4000]
      message = ''.join(
        c if c.isprintable() or c > '\x7f' else '?' for c in text
      )
      raise _ERRORS.get(str(header.get('error')), UnexpectedError)(message)
    if kind not in kinds:
      raise EndedError('an answer to no question')
    return header

  def _check_count(self, count: int, most: int) -> None:
    if count > most:
      longest = self._limits.longest_seconds
      said = (
        f'{longest / 3600:g} hours' if longest >= 3600 else f'{longest:g} s'
      )
      raise RefusedError(
        f'{self.name}: The file lasts longer than it says, or than {said}.'
      )

  @contextlib.contextmanager
  def _errors(self) -> Iterator[None]:
    """Turns what happens to the child into errors of the file."""
    try:
      yield
    except TimeoutError as error:
      raise self._timed_out() from error
    except EndedError as error:
      if error.cause == 'SIGXCPU':
        raise self._timed_out() from error
      raise UnexpectedError(
        f'{self.name}: The decoding process crashed or sent an invalid reply '
        f'({error.cause}). The file may be damaged. Replace it with an intact '
        'copy.'
      ) from error

  def _timed_out(self) -> TimedOutError:
    wall, processor = self._limits.times(self._duration, self._size)
    return TimedOutError(
      f'{self.name}: Decoding the file takes too long. Expected at most '
      f'{wall:.0f} s, {processor:.0f} s of processor time, and a sign of life '
      f'every {self._limits.stall_seconds:g} s.'
    )
