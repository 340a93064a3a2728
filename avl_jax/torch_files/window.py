"""A window that slides over a file, for readers that walk through it once."""

from collections.abc import Callable
from typing import IO

CHUNK = 2**20  # bytes that are read at once
LONGEST = 2**28  # bytes that are held at once


class Window:
  """The bytes of a file around a position; the file is read once, forward.

  A fast loop reads `content` itself, counts `at` in a variable of its own and
  moves the window now and then.

  Attributes:
    content: the bytes that are held.
    at: the position in them.
    offset: of the content in the file.
    size: of the file.
  """

  def __init__(
    self, file: IO[bytes], size: int, advance: Callable[[int], object]
  ):
    """Sets the file.

    Args:
      file: positioned at its beginning.
      size: of the file in bytes.
      advance: is called with the number of bytes of each chunk.
    """
    self.content, self.at, self.offset = b'', 0, 0
    self._file, self._advance = file, advance
    self.size = size
    self._left = size  # bytes behind the content

  @property
  def is_last(self) -> bool:
    """Whether the content reaches to the end of the file."""
    return not self._left

  def move(self, at: int, count: int = 64) -> None:
    """Moves to a position, from which at least `count` bytes are held.

    Fewer are held at the end of the file.

    Args:
      at: index into `content`, or behind it.
      count: of bytes.

    Raises:
      EOFError: the position is behind the end of the file.
      ValueError: the count is larger than `LONGEST`.
    """
    if count > LONGEST:
      raise ValueError(f'a piece of {count} bytes; at most {LONGEST} are read')
    if at + count <= len(self.content):
      self.at = at
      return
    while at > len(self.content):
      at -= len(self.content)
      self.offset += len(self.content)
      self.content = self._read(CHUNK)
    self.offset += at
    self.content, self.at = self.content[at:], 0
    if (missing := min(count - len(self.content), self._left)) > 0:
      self.content += self._read(max(missing, CHUNK))

  def read(self, count: int) -> bytes:
    """Returns the next bytes; EOFError if there are not so many."""
    if self.at + count > len(self.content):
      self.move(self.at, count)
    found = self.content[self.at : self.at + count]
    if len(found) < count:
      raise EOFError(f'{count} bytes were expected, {len(found)} are left')
    self.at += count
    return found

  def readline(self) -> bytes:
    """Returns the next bytes up to a newline; EOFError if there is none."""
    while not (end := self.content.find(b'\n', self.at) + 1):
      if self.is_last:
        raise EOFError('a line has no end')
      self.move(self.at, 2 * (len(self.content) - self.at) + CHUNK)
    line, self.at = self.content[self.at : end], end
    return line

  def _read(self, count: int) -> bytes:
    """Reads behind the content; EOFError at the end of the file."""
    found = self._file.read(min(count, self._left))
    if not found:
      raise EOFError('the file ends too early')
    self._left -= len(found)
    self._advance(len(found))
    return found
