"""Decodes the pictures of video files with FFmpeg's libraries."""

import contextlib
import math
import os
import re
from collections.abc import Iterator
from fractions import Fraction

import av

from avl_jax.features import MediaError, NoPictureError, RefusedError, formats
from avl_jax.features.ffmpeg import containers

LONGEST = 24 * 3600  # seconds; a later timestamp is a sign of damage
_MARGIN = 1  # second decoded before the start, to find the frame shown there
_JUMP = 1  # second by which times go back, or beyond the end, in one step
_LOST = 1 / 20  # share of a file that may be missing at its end
# Matroska's. Strictly so, since Fraction takes 1/0 and 1e999999999, too.
_DURATION = re.compile(r'(\d{1,4}):(\d\d):(\d\d(?:\.\d{1,9})?)', re.ASCII)
# A decoded frame, and the times at which it appears and disappears, in seconds.
Timed = tuple[av.VideoFrame, Fraction, Fraction]


def open_video(file: str | os.PathLike) -> av.container.InputContainer:
  """Opens a container and checks that it has a usable video stream."""
  name = os.fspath(file)
  path = containers.check_file(file)
  allowed = f'a complete video of {", ".join(formats.VIDEO_FORMATS)}'
  with containers.media_errors(name, f'The file is not {allowed}'):
    container = containers.open_container(path, name, formats.VIDEO_FORMATS)
  try:
    _open_decoder(name, container)
  except MediaError:
    container.close()
    raise
  return container


def _open_decoder(name: str, container: av.container.InputContainer) -> None:
  """Opens the decoder of the pictures, if it may; MediaError if not."""
  stream = _stream(container)
  if stream is None:
    raise NoPictureError(f'{name}: The file has no readable video stream.')
  if not formats.is_allowed(stream, formats.VIDEO_CODECS):
    raise formats.refusal(name, 'picture', stream, formats.VIDEO_CODECS)
  context = stream.codec_context
  if not 0 < context.width * context.height <= containers.MOST_PIXELS:
    # The size is unknown, too, if FFmpeg itself has applied the limit.
    size = f'{context.width} x {context.height}' if context.width else 'unknown'
    raise RefusedError(
      f'{name}: The size of the frames is {size}. Expected at most '
      f'{containers.MOST_PIXELS} pixels.'
    )
  stream.thread_type = 'AUTO'
  context.options = {'max_pixels': str(containers.MOST_PIXELS)}
  with containers.media_errors(name, 'The header of the pictures is damaged'):
    context.open(strict=False)


def _stream(
  container: av.container.InputContainer,
) -> av.video.stream.VideoStream | None:
  """The first video stream that is not cover art; None if there is none."""
  for stream in container.streams.video:
    if not stream.disposition & type(stream.disposition).attached_pic:
      return stream
  return None


def timed_frames(
  file: str | os.PathLike,
  container: av.container.InputContainer,
  start: Fraction,
  tolerance: float,
) -> Iterator[Timed]:
  """Yields frames with their times, from the frame shown at `start` on.

  If seeking leads astray, because the index of the file is wrong, incomplete
  or missing, or its times go back, then the file is opened again and read from
  its beginning.
  """
  name = os.fspath(file)
  with container:
    if start <= _MARGIN:
      yield from _decode(name, container, tolerance)
      return
    found = _decode(name, container, tolerance)
    first = None
    with contextlib.suppress(av.FFmpegError, MediaError):
      if not containers.clock_restarts(container):
        _seek(container, start - _MARGIN)
        first = next(found, None)
    if first and first[1] <= start and first[0].key_frame:
      yield first
      yield from found
      return
  with open_video(file) as again:
    yield from _decode(name, again, tolerance)


def _origin(container: av.container.InputContainer, unit: Fraction) -> int:
  """The beginning of the file in units, rounded as ffmpeg shifts timestamps."""
  return round(Fraction(container.start_time or 0, 10**6) / unit)


def _seek(container: av.container.InputContainer, time: Fraction) -> None:
  stream = _stream(container)
  assert stream is not None  # see `open_video`
  unit = stream.time_base
  assert unit is not None
  offset = _origin(container, unit) + math.floor(time / unit)
  container.seek(offset, stream=stream)


def _decode(
  name: str, container: av.container.InputContainer, tolerance: float
) -> Iterator[Timed]:
  """Yields frames with their times, from the container's place on."""
  stream = _stream(container)
  assert stream is not None  # see `open_video`
  unit = stream.time_base
  assert unit is not None
  origin = _origin(container, unit)
  damage = containers.Damage(name, 'picture', tolerance)
  clock, time, gap = _Clock(container), Fraction(0), Fraction(0)
  for i, frame in enumerate(_demux(name, container, stream, damage)):
    last, time = time, time + gap
    if frame.pts is not None:
      stamp = (frame.pts - origin) * unit
      time = clock(stamp, last, time) if i else stamp
    latest = (
      LONGEST if i else min(LONGEST, clock.end + containers.LONGEST_PAUSE)
    )
    if not -LONGEST < time < latest:
      raise MediaError(
        f'{name}: The file is damaged: a frame has the time {float(time):g} s. '
        f'Expected less than {float(latest):g} s.'
      )
    time = _snap(time, stream)
    if i and time > last:
      gap = time - last
    elif not i and stream.average_rate:
      gap = 1 / stream.average_rate
    until = time + ((frame.duration or 0) * unit or gap)
    yield frame, time, _snap(until, stream)


class _Clock:
  """Lets the picture go on where the times in a file jump.

  So they do where two files are joined, and where a time is damaged.

  Attributes:
    end: seconds of the file, according to its header.
  """

  def __init__(self, container: av.container.InputContainer):
    """Starts with the file's own times."""
    self._shift = Fraction(0)  # from the file's times to these
    self.end = Fraction(container.duration or 10**12, 10**6)

  def __call__(
    self, stamp: Fraction, last: Fraction, following: Fraction
  ) -> Fraction:
    """The time of a picture, in seconds.

    Args:
      stamp: its time in the file.
      last: time of the picture before it.
      following: its time if it follows that one as usual.

    Returns:
      The time; `following` where the times jump.
    """
    time = stamp + self._shift
    # After the end, a pause is not to be expected.
    most = _JUMP if time > self.end + _JUMP else containers.LONGEST_PAUSE
    if -_JUMP <= time - last <= most:
      return time
    self._shift -= time - following
    return following


def _snap(time: Fraction, stream) -> Fraction:
  """Undoes the rounding of timestamps in containers with a coarse time base.

  Matroska stores milliseconds, in which half a second of 24 frames ends early.
  """
  if not stream.average_rate:
    return time
  regular = round(time * stream.average_rate) / stream.average_rate
  return regular if abs(regular - time) <= stream.time_base else time


def _demux(name, container, stream, damage) -> Iterator[av.VideoFrame]:
  """Decodes the stream; MediaError if the file ends long before it should."""
  reached = Fraction(0)
  usual = 1 / (stream.average_rate or 25)  # seconds of a packet
  for packet in containers.demux(container):
    duration = containers.duration(packet)
    if packet.pts is not None:
      reached = max(reached, packet.pts * packet.time_base + duration)
    # Not packet.stream_index: it is 0 for the last packet of each stream, which
    # brings the frames that the decoder still holds.
    if packet.stream.index == stream.index:
      yield from damage.decode(packet, float(duration or usual)) or ()
  # The duration may count from zero or from the first time.
  reached = max(reached, reached - Fraction(container.start_time or 0, 10**6))
  expected = _expected(container, stream)
  # The last packet may lack a duration.
  slack = max(Fraction(1, 2), 2 / (stream.average_rate or 4))
  if reached < min(expected - slack, expected * (1 - _LOST)):
    raise MediaError(
      f'{name}: The file is cut off. It ends after {float(reached):.1f} of '
      f'{float(expected):.1f} seconds.'
    )
  damage.check()


def _expected(container, stream) -> Fraction:
  """Seconds that the file should have according to its header."""
  expected = Fraction(container.duration or 0, 10**6)
  streams = [*container.streams.video, *container.streams.audio]
  ends = [*map(_end, streams)]
  if container.format.name == 'asf':
    # Each stream has the duration of the file, wherever it begins.
    return max((s.duration or 0) * s.time_base for s in streams)
  if all(ends):
    # Chapters and subtitles may end later, and are not always read.
    expected = min(expected, max(ends))
  if container.format.name == 'avi' and stream.average_rate:
    # FFmpeg fits the duration to the file; the header's frame count is kept.
    expected = max(expected, stream.frames / stream.average_rate)
  return expected


def _end(stream) -> Fraction:
  """Second at which a stream ends according to its header; 0: unknown."""
  if stream.duration:
    return ((stream.start_time or 0) + stream.duration) * stream.time_base
  tag = next((k for k in stream.metadata if k.startswith('DURATION')), '')
  written = _DURATION.fullmatch(stream.metadata[tag]) if tag else None
  if not written:
    return Fraction(0)
  hours, minutes, seconds = map(Fraction, written.groups())
  return 3600 * hours + 60 * minutes + seconds
