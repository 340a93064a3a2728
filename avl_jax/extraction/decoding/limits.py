"""Limits of the decoding process: memory, time, length and streams."""

import dataclasses
import math

_ROUNDING = 16  # samples; a piece may have several sample rates


@dataclasses.dataclass(frozen=True)
class Limits:
  """Limits of a file, and of the child process that decodes it.

  Time is counted for the sound and for each pass over the pictures apart. It is
  a base and a share per minute of video. A minute is believed only if the file
  has 100 kB for it, half of what quiet sound alone takes: the time grows with
  what a file holds, not with what it claims.

  Attributes:
    memory: bytes beside those of the idle child. Three hours of sound at 48
      kHz, the longest that is read, take 4 GiB, pictures of 8K, of which 16
      threads and a codec keep 34, take 2.
    wall_seconds: that the parent waits for the child, however short the file.
    wall_seconds_per_minute: and for each minute of video; ten times real time:
      4K at 60 pictures a second takes half of it on a slow core.
    processor_seconds: of all threads of the child.
    processor_seconds_per_minute: and for each minute of video.
    stall_seconds: in which the child must read, or send something.
    longest_seconds: of a file, and so of the pictures and sound it becomes; 12
      hours, the most that YouTube takes.
    most_streams: of a file; a DVD has up to 41.
    files: that a child decodes before it is replaced. A decoder that a file has
      taken over cannot leave the child, but it could falsify what later files
      become; 1: a child for each file, half a second each.
  """

  memory: int = 6 * 2**30
  wall_seconds: float = 60.0
  wall_seconds_per_minute: float = 600.0
  processor_seconds: float = 60.0
  processor_seconds_per_minute: float = 600.0
  stall_seconds: float = 60.0
  longest_seconds: float = 12 * 3600.0
  most_streams: int = 100
  files: int = 1000

  def times(self, duration: float, size: int) -> tuple[float, float]:
    """Seconds to wait and seconds of processor time for one stream of a file.

    Args:
      duration: seconds that the file claims.
      size: bytes of the file.
    """
    minutes = min(duration / 60, size / 100e3)
    return (
      self.wall_seconds + minutes * self.wall_seconds_per_minute,
      self.processor_seconds + minutes * self.processor_seconds_per_minute,
    )

  def count(self, rate: float, start: float, end: float | None) -> int:
    """Most frames or samples, at a rate, of a piece from `start` to `end` s."""
    last = min(self.longest_seconds, math.inf if end is None else end)
    return max(0, math.ceil((last - start) * rate)) + _ROUNDING
