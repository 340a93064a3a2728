"""Opens untrusted audio and video files with FFmpeg's libraries.

FFmpeg guesses the format of a file from its content, and some formats are
lists of other files or of addresses, which FFmpeg would fetch. Therefore
formats and codecs are allowed by name (`formats`), and local files are the only
protocol.
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

from avl_jax import logs
from avl_jax.features import (
  EmptyMediaError,
  MediaError,
  MissingError,
  RefusedError,
  formats,
)
from avl_jax.features.open_file import OpenFile

if TYPE_CHECKING:
  import av

MOST_PIXELS = 8192 * 4352  # of a frame: 8K film and some padding
TOLERANCE = 0.01  # share of a stream's packets that may be damaged
LONGEST_GAP = 1.0  # seconds that damaged packets may leave without content
LONGEST_PAUSE = 600  # seconds; if times differ by more, then one is damaged


def check_file(path: str | os.PathLike) -> str | OpenFile:
  """Returns the absolute path of a local file; an `OpenFile` as it is.

  Raises:
    MissingError: no regular file has this name.
    EmptyMediaError: the file is empty.
  """
  if isinstance(path, OpenFile):
    return path
  name = os.fspath(path)
  if not os.path.isfile(name):
    raise MissingError(f'{name}: There is no such file.')
  if not os.path.getsize(name):
    raise EmptyMediaError(f'{name}: The file has 0 bytes.')
  # Absolute, so that FFmpeg cannot take the name for an address.
  return os.path.abspath(name)


def open_container(
  source: str | OpenFile | BinaryIO, name: str, allowed: Iterable[str]
) -> 'av.container.InputContainer':
  """Opens a file with limits on its format, its codecs and the protocol.

  FFmpeg decodes a little of each stream to learn about it; streams of other
  codecs than those of `formats` are left alone, and do not prevent opening.

  Args:
    source: result of `check_file`, or a file object.
    name: of the file, for messages.
    allowed: names of the FFmpeg demuxers that are allowed.

  Returns:
    The open container.

  Raises:
    RefusedError: the file has another format.
    av.FFmpegError: the file cannot be opened.
  """
  import av

  codecs = (*formats.VIDEO_CODECS, *formats.AUDIO_CODECS)
  # Tags that are not UTF-8 are accepted; av 19 and later always accept them.
  is_strict = int(av.__version__.partition('.')[0]) < 19
  tags: dict[str, Any] = {'metadata_errors': 'replace'} if is_strict else {}
  try:
    return av.open(
      source.reader() if isinstance(source, OpenFile) else source,
      'r',
      **tags,
      options={'max_pixels': str(MOST_PIXELS)},
      container_options={
        'format_whitelist': ','.join(allowed),
        'codec_whitelist': ','.join(map(formats.decoder, codecs)),
        'protocol_whitelist': 'file',
      },
    )
  except av.ArgumentError as error:  # FFmpeg's answer to another format
    raise RefusedError(
      f'{name}: The format of the file is not read. Expected one of '
      f'{", ".join(allowed)}. {formats.REMEDY}'
    ) from error


def demux(
  container: 'av.container.InputContainer', *streams: Any
) -> Iterator['av.Packet']:
  """Yields the packets of the streams (none: of all), and those that flush."""
  # In FLV and MPEG, streams can begin in the middle. Up to av 18, flushing them
  # fails, since they are not known; by then, all others are flushed.
  with contextlib.suppress(IndexError):
    yield from container.demux(*streams)


def duration(packet: 'av.Packet') -> Fraction:
  """Seconds of a packet; 0: not known."""
  units = packet.duration or 0
  # A Vorbis stream that ends before its last packet does has such a number.
  return (units - 2**32 if units >= 2**31 else units) * packet.time_base


def clock_restarts(container: 'av.container.InputContainer') -> bool:
  """Whether seeking misleads, since the times of an MPEG file go back.

  So they do where two files are joined. The packets are read to find out, and
  the container is then at its end.
  """
  if container.format.name not in ('mpeg', 'mpegts'):
    return False
  import av

  latest: dict[int, float] = {}
  with contextlib.suppress(av.FFmpegError):
    for packet in demux(container):
      if packet.dts is None:
        continue
      time = float(packet.dts * packet.time_base)
      last = latest.get(packet.stream.index, time)
      if time < last - LONGEST_GAP:
        return True
      latest[packet.stream.index] = max(time, last)
  return False


class Damage:
  """Counts the packets of a stream that cannot be decoded; limits them.

  A file is usable although a few packets of it are damaged: the sound is silent
  there, and the picture stands still. It is refused if more than a share of the
  packets is damaged, or if more than `LONGEST_GAP` is lost at once. The last
  packet does not count, so that the sound of a file that is cut off is usable.

  Attributes:
    packets: number of packets so far.
    lost: number of them that are damaged.

  Example:
    damage = Damage('cooking.mp4', 'sound', tolerance=0.01)
    for packet in container.demux(stream):
      frames = damage.decode(packet)  # None: the packet is damaged
    damage.check()
  """

  def __init__(self, name: str, content: str, tolerance: float = TOLERANCE):
    """Starts with no packet.

    Args:
      name: of the file, for messages.
      content: 'sound' or 'picture', for messages.
      tolerance: share of the packets that may be damaged.
    """
    self.packets = self.lost = 0
    self._name, self._content, self._tolerance = name, content, tolerance
    self._gap, self._cause = 0.0, ''
    self._is_last = False

  def decode(self, packet: 'av.Packet', seconds: float) -> list | None:
    """Decodes a packet.

    Args:
      packet: of the stream.
      seconds: that the packet lasts.

    Returns:
      The frames, perhaps none; None if the packet is damaged.

    Raises:
      MediaError: the damaged packets in a row last too long.
    """
    import av

    if not packet.size and packet.pts is not None:
      return []  # A codec's way to repeat a picture; the decoder refuses it.
    if packet.size:
      self.packets += 1
      self._is_last = False
    try:
      frames = packet.decode()
    except av.FFmpegError as error:
      self._cause = error.strerror or str(error)
      self.lost += 1
      self._is_last = True
      self._gap += seconds
      if self._gap > LONGEST_GAP and self._tolerance < 1:
        raise self._error(f'{self._gap:.1f} s in a row') from error
      return None
    if frames:
      self._gap = 0.0
    return list(frames)

  def check(self) -> None:
    """Writes a line if packets were lost; MediaError if too many were."""
    # A file that is cut off ends in the middle of a packet.
    is_cut = self._is_last and self.packets > 1 and self._tolerance > 0
    if self.lost - is_cut > self._tolerance * self.packets:
      raise self._error('')
    if self.lost:
      logs.write(f'{self._name}: {self._lost()} Reading goes on.', sys.stderr)

  def _lost(self) -> str:
    return (
      f'{self.lost} of {self.packets} packets of the {self._content} are '
      f'damaged ({self._cause}).'
    )

  def _error(self, gap: str) -> MediaError:
    found = f' They last {gap}.' if gap else ''
    return MediaError(
      f'{self._name}: {self._lost()}{found} Expected at most '
      f'{self._tolerance:.0%} and {LONGEST_GAP:g} s in a row. Replace the file '
      'by a whole copy.'
    )


@contextlib.contextmanager
def media_errors(name: str, problem: str) -> Iterator[None]:
  """Turns an FFmpeg error into a MediaError, '{name}: {problem} ({cause}).'."""
  import av

  try:
    yield
  except av.FFmpegError as error:
    raise MediaError(f'{name}: {problem} ({error.strerror}).') from error
