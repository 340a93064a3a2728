"""Frames of video files, at the rate and size that visual networks take.

What the authors' extractor had the program ffmpeg do (`video_loader.py` of
`video_feature_extractor`): the filters fps, scale (bicubic) and crop. One
thing is done otherwise: that extractor computes sizes from the stored width
and height, so that the upright picture of a telephone's video, which is stored
lying, is squeezed to a lying one. Here it keeps its shape.
"""

import math
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np

from avl_jax.features import MediaError, ffmpeg, ffmpeg_filters

_LONGEST = 24 * 3600  # seconds; a time beyond is no video's, but a damage
_MARGIN = 1  # second that is decoded before the start, to see what was there
_LOST = 1 / 20  # of a file, that may be missing at its end
# A decoded frame, when it is shown and until when, in seconds.
Timed = tuple[av.VideoFrame, Fraction, Fraction]


def frames(
  path: str | os.PathLike,
  fps: float,
  size: int,
  crop: bool,
  start: float = 0.0,
  end: float | None = None,
) -> Iterator[np.ndarray]:
  """Frames of a video file, upright, as a stream of bounded memory.

  Frame k shows what the last source frame before start + (k + 1/2) / fps
  shows, and there are as many frames as (end - start) * fps, rounded, a half
  upwards: of less than half a frame there is none. A video that begins late
  shows its first picture until then. Times are seconds since the file's
  beginning, that of its earliest stream.

  Args:
    path: of a local file in a container of `containers.VIDEO_FORMATS`. Its
      first video stream is used, the picture of a cover is not.
    fps: frames per second of the result.
    size: the shorter side, in pixels; the longer one is rounded down, and the
      shape of the pixels is ignored.
    crop: keep the middle [size, size] only.
    start: of the part that is wanted, seconds.
    end: of that part, seconds; None or beyond the end: all there is.

  Returns:
    An iterator of uint8 [H, W, 3], RGB.

  Raises:
    ValueError: of fps, size, start and end, one is not possible.
    MediaError: there is no such local file, it is empty or of another format,
      or it has no video; while iterating, if a frame is damaged or has
      `containers.MOST_PIXELS`, a time is not possible, or the file is cut off.
  """
  if not (0 < fps < math.inf and size > 0 and 0 <= start < math.inf):
    raise ValueError(f'fps {fps}, size {size}, start {start}: not possible')
  if end is not None and not end >= start:
    raise ValueError(f'end {end}: expected at least the start, {start}')
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


def _open(name: str):
  """The open container, which has a video stream."""
  path = ffmpeg.check_file(name)
  formats = ', '.join(ffmpeg.VIDEO_FORMATS)
  with ffmpeg.media_errors(name, f'no whole file of {formats}'):
    container = ffmpeg.open_container(path, ffmpeg.VIDEO_FORMATS)
  stream = _stream(container)
  context = stream and stream.codec_context
  problem = ''
  if context is None:
    problem = 'the file has no video stream that can be read'
  elif not 0 < context.width * context.height <= ffmpeg.MOST_PIXELS:
    # It is unknown, too, where FFmpeg keeps to the limit itself.
    size = f'{context.width} x {context.height}' if context.width else 'unknown'
    problem = (
      f'the size of its frames is {size}, expected at most '
      f'{ffmpeg.MOST_PIXELS} pixels'
    )
  if problem:
    container.close()
    raise MediaError(f'{name}: {problem}')
  return container


def _stream(container):
  """The first video stream that is no cover; None, if there is none."""
  for stream in container.streams.video:
    if not stream.disposition & type(stream.disposition).attached_pic:
      return stream
  return None


def _frames(name, container, *, fps, size, crop, start, end):
  """The iterator of `frames`; closes the container."""
  with (
    container,
    ffmpeg.media_errors(name, 'damaged or cut off'),
  ):
    timed = _decode(name, container, start)
    shown = resample(timed, fps, start, end)
    yield from ffmpeg_filters.scale(name, shown, size, crop)


def _decode(name, container, start: Fraction) -> Iterator[Timed]:
  """Frames in order with their times, from one that is shown at `start`."""
  stream = _stream(container)
  stream.thread_type = 'AUTO'
  stream.codec_context.options = {'max_pixels': str(ffmpeg.MOST_PIXELS)}
  unit = stream.time_base
  # In units, rounded, as ffmpeg shifts times.
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
        f'{name}: a frame has the time {float(time):g} s, expected less than '
        f'{_LONGEST}: damaged'
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
  """The regular time that a container with coarse times has rounded.

  Matroska's are milliseconds, in which half a second of 24 frames ends early.
  """
  if not stream.average_rate:
    return time
  regular = round(time * stream.average_rate) / stream.average_rate
  return regular if abs(regular - time) <= stream.time_base else time


def _demux(name, container, stream) -> Iterator[av.VideoFrame]:
  """Decodes the stream; MediaError, if the file ends long before it should."""
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
    # Its duration is made to fit the file, what its header counts is not.
    expected = max(expected, stream.frames / stream.average_rate)
  # The last packet may not say how long it lasts.
  slack = max(Fraction(1, 2), 2 / (stream.average_rate or 4))
  if reached < min(expected - slack, expected * (1 - _LOST)):
    raise MediaError(
      f'{name}: cut off, it ends after {float(reached):.1f} of '
      f'{float(expected):.1f} seconds'
    )


def resample(
  timed: Iterable[Timed], fps: Fraction, start: Fraction, end: Fraction | None
) -> Iterator[av.VideoFrame]:
  """As ffmpeg's filter `fps`: each slot shows the last frame that is in it.

  A frame is in the slot that is nearest to it, a half rounds upwards.
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
  for _ in range(count, _round((stop - start) * fps) if shown else 0):
    yield shown


def _round(x: Fraction) -> int:
  return math.floor(x + Fraction(1, 2))
