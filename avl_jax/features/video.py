"""Reads the frames of video files at the rate and size of visual networks.

The result equals that of the authors' extractor, which calls the program
ffmpeg (`video_loader.py` of `video_feature_extractor`) with the filters fps,
scale (bicubic) and crop. There is one difference: that extractor computes
sizes from the stored width and height, so it squeezes a phone's portrait
video, which is stored as landscape, into landscape. Here the picture keeps its
shape.
"""

import math
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np

from avl_jax.features import MediaError, ffmpeg, ffmpeg_filters

_LONGEST = 24 * 3600  # seconds; a later timestamp is a sign of damage
_MARGIN = 1  # second decoded before the start, to find the frame shown there
_LOST = 1 / 20  # share of a file that may be missing at its end
# A decoded frame, and the times at which it appears and disappears, in seconds.
Timed = tuple[av.VideoFrame, Fraction, Fraction]


def frames(
  path: str | os.PathLike,
  fps: float,
  size: int,
  crop: bool,
  start: float = 0.0,
  end: float | None = None,
) -> Iterator[np.ndarray]:
  """Iterates over upright frames of a video file, with bounded memory.

  Frame k shows the last source frame before start + (k + 1/2) / fps. The
  number of frames is (end - start) * fps, rounded, a half upwards; a piece
  shorter than half a frame has none. If the video stream begins late, its
  first picture is shown until then. Times are seconds since the beginning of
  the file, which is the beginning of its earliest stream.

  Args:
    path: of a local file in a container of `ffmpeg.VIDEO_FORMATS`. The first
      video stream that is not cover art is used.
    fps: frames per second of the result.
    size: the shorter side, in pixels; the longer one is rounded down. The
      aspect ratio of the pixels is ignored.
    crop: keep only the centre [size, size].
    start: of the piece, seconds.
    end: of the piece, seconds; None or a time after the end: until the end.

  Returns:
    An iterator of uint8 [H, W, 3], RGB.

  Raises:
    ValueError: fps, size, start or end is not possible.
    MediaError: the path is no local file, or the file is empty, has another
      format or no video stream; while iterating: a frame is damaged or has
      more than `ffmpeg.MOST_PIXELS`, a timestamp is not possible, or the file
      is cut off.

  Example:
    for frame in video.frames('cooking.mp4', fps=1, size=224, crop=True):
      ...  # uint8 [224, 224, 3], one per second
  """
  if not (0 < fps < math.inf and size > 0 and 0 <= start < math.inf):
    raise ValueError(
      f'fps {fps}, size {size}, start {start}: Expected fps and size above 0 '
      'and a finite start of at least 0.'
    )
  if end is not None and not end >= start:
    raise ValueError(f'end {end}: Expected at least the start, {start}.')
  name = os.fspath(path)
  return _frames(
    name,
    _open(name),
    # Rates are ratios such as 24000/1001, and times are compared exactly.
    fps=Fraction(fps).limit_denominator(1001),
    size=size,
    crop=crop,
    start=Fraction(min(start, _LONGEST)),
    end=None if end is None else Fraction(min(end, _LONGEST)),
  )


def _open(name: str) -> av.container.InputContainer:
  """Opens a container and checks that it has a usable video stream."""
  path = ffmpeg.check_file(name)
  formats = ', '.join(ffmpeg.VIDEO_FORMATS)
  with ffmpeg.media_errors(
    name, f'The file is not a complete video of {formats}'
  ):
    container = ffmpeg.open_container(path, ffmpeg.VIDEO_FORMATS)
  stream = _stream(container)
  context = stream and stream.codec_context
  problem = ''
  if context is None:
    problem = 'The file has no readable video stream.'
  elif not 0 < context.width * context.height <= ffmpeg.MOST_PIXELS:
    # The size is unknown, too, if FFmpeg itself has applied the limit.
    size = f'{context.width} x {context.height}' if context.width else 'unknown'
    problem = (
      f'The size of the frames is {size}. Expected at most '
      f'{ffmpeg.MOST_PIXELS} pixels.'
    )
  if problem:
    container.close()
    raise MediaError(f'{name}: {problem}')
  return container


def _stream(
  container: av.container.InputContainer,
) -> av.video.stream.VideoStream | None:
  """The first video stream that is not cover art; None if there is none."""
  for stream in container.streams.video:
    if not stream.disposition & type(stream.disposition).attached_pic:
      return stream
  return None


def _frames(name, container, *, fps, size, crop, start, end):
  """The iterator that `frames` returns; closes the container."""
  with (
    container,
    ffmpeg.media_errors(name, 'The file is damaged or cut off'),
  ):
    timed = _decode(name, container, start)
    shown = resample(timed, fps, start, end)
    yield from ffmpeg_filters.scale(name, shown, size, crop)


def _decode(
  name: str, container: av.container.InputContainer, start: Fraction
) -> Iterator[Timed]:
  """Yields frames with their times, from the frame shown at `start` on."""
  stream = _stream(container)
  assert stream is not None  # see `_open`
  assert stream.time_base is not None
  stream.thread_type = 'AUTO'
  stream.codec_context.options = {'max_pixels': str(ffmpeg.MOST_PIXELS)}
  unit = stream.time_base
  # In units of the time base, rounded, as ffmpeg shifts timestamps.
  origin = round(Fraction(container.start_time or 0, 10**6) / unit)
  sought = start > _MARGIN
  if sought:
    container.seek(origin + math.floor((start - _MARGIN) / unit), stream=stream)
  time = gap = Fraction(0)
  for i, frame in enumerate(_demux(name, container, stream)):
    last = time
    time = last + gap if frame.pts is None else (frame.pts - origin) * unit
    if not -_LONGEST < time < _LONGEST:
      raise MediaError(
        f'{name}: The file is damaged: a frame has the time {float(time):g} s. '
        f'Expected less than {_LONGEST} s.'
      )
    time = _snap(time, stream)
    if not i and sought and time > start:  # An index may be wrong or absent.
      container.seek(origin, stream=stream)
      yield from _decode(name, container, Fraction(0))
      return
    if i and time > last:
      gap = time - last
    elif not i and stream.average_rate:
      gap = 1 / stream.average_rate
    until = time + ((frame.duration or 0) * unit or gap)
    yield frame, time, _snap(until, stream)


def _snap(time: Fraction, stream) -> Fraction:
  """Undoes the rounding of timestamps in containers with a coarse time base.

  Matroska stores milliseconds, in which half a second of 24 frames ends early.
  """
  if not stream.average_rate:
    return time
  regular = round(time * stream.average_rate) / stream.average_rate
  return regular if abs(regular - time) <= stream.time_base else time


def _demux(name, container, stream) -> Iterator[av.VideoFrame]:
  """Decodes the stream; MediaError if the file ends long before it should."""
  reached = Fraction(0)
  for packet in container.demux():
    if packet.pts is not None:
      duration = packet.duration or 0
      reached = max(reached, (packet.pts + duration) * packet.time_base)
    if packet.stream_index == stream.index:
      yield from packet.decode()
  # The duration may count from zero or from the first time.
  reached = max(reached, reached - Fraction(container.start_time or 0, 10**6))
  expected = Fraction(container.duration or 0, 10**6)
  if container.format.name == 'avi' and stream.average_rate:
    # FFmpeg fits the duration to the file; the header's frame count is kept.
    expected = max(expected, stream.frames / stream.average_rate)
  # The last packet may lack a duration.
  slack = max(Fraction(1, 2), 2 / (stream.average_rate or 4))
  if reached < min(expected - slack, expected * (1 - _LOST)):
    raise MediaError(
      f'{name}: The file is cut off. It ends after {float(reached):.1f} of '
      f'{float(expected):.1f} seconds.'
    )


def resample(
  timed: Iterable[Timed], fps: Fraction, start: Fraction, end: Fraction | None
) -> Iterator[av.VideoFrame]:
  """Changes the frame rate as ffmpeg's filter `fps` does.

  Each slot of the result shows its last source frame. A frame belongs to the
  slot nearest to its time; a half rounds upwards.
  """
  shown, count, stop = None, 0, Fraction(0)
  for frame, time, until in timed:
    if end is not None and time >= end:
      shown, stop = shown or frame, end
      break
    for _ in range(count, slot := _round((time - start) * fps)):
      yield shown or frame
    count, shown = max(count, slot), frame
    stop = until if end is None else min(until, end)
  if shown is not None:
    for _ in range(count, _round((stop - start) * fps)):
      yield shown


def _round(x: Fraction) -> int:
  return math.floor(x + Fraction(1, 2))
