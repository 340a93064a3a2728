"""Files that are open already, for a process that may open none itself."""

import io
import os
from collections.abc import Callable


class OpenFile(os.PathLike):
  """A media file behind a descriptor, in place of a path.

  Attributes:
    descriptor: open for reading; its own position is neither used nor moved.
    name: path of the file, for messages; FFmpeg's guess of a format uses its
      suffix.
    size: bytes.

  Example:
    file = OpenFile(descriptor, 'cooking.mp4', size)
    waveform = audio.read_audio(file)
  """

  def __init__(
    self,
    descriptor: int,
    name: str,
    size: int,
    on_read: Callable[[], None] = lambda: None,
  ):
    """Wraps a descriptor, which stays the caller's.

    Args:
      descriptor: of a regular file.
      name: see the class.
      size: see the class.
      on_read: called after each piece that is read.
    """
    self.descriptor, self.name, self.size = descriptor, name, size
    self._on_read = on_read

  def __fspath__(self) -> str:
    """The name."""
    return self.name

  def reader(self) -> 'Reader':
    """A file object at the beginning; each has a position of its own."""
    return Reader(self, self._on_read)


class Reader(io.RawIOBase):
  """Reads an `OpenFile` from any position.

  Attributes:
    name: of the file.
  """

  def __init__(self, file: OpenFile, on_read: Callable[[], None]):
    super().__init__()
    self.name = file.name
    self._file, self._on_read, self._position = file, on_read, 0

  def readable(self) -> bool:
    """True."""
    return True

  def seekable(self) -> bool:
    """True."""
    return True

  def readinto(self, buffer) -> int:
    """Fills the buffer as far as the file goes; returns the count of bytes."""
    view = memoryview(buffer).cast('B')
    piece = os.pread(self._file.descriptor, len(view), self._position)
    view[: len(piece)] = piece
    self._position += len(piece)
    self._on_read()
    return len(piece)

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    """Moves the position, perhaps beyond the end; returns it."""
    base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}
    position = base.get(whence, self._file.size) + offset
    if position < 0:
      raise OSError(f'{self.name}: There is no position {position}.')
    self._position = position
    return position

  def tell(self) -> int:
    """The position."""
    return self._position
