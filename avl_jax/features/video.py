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

from avl_jax.features.ffmpeg import containers, filters
from avl_jax.features.ffmpeg import video as ffmpeg_video


def frames(
  path: str | os.PathLike,
  fps: float,
  size: int,
  crop: bool,
  start: float = 0.0,
  end: float | None = None,
  tolerance: float = containers.TOLERANCE,
) -> Iterator[np.ndarray]:
  """Iterates over upright frames of a video file, with bounded memory.

  Frame k shows the last source frame before start + (k + 1/2) / fps. The
  number of frames is (end - start) * fps, rounded, a half upwards; a piece
  shorter than half a frame has none. If the video stream begins late, its
  first picture is shown until then. Times are seconds since the beginning of
  the file, which is the beginning of its earliest stream.

  Args:
    path: of a local file, or `OpenFile`, of one of `formats.VIDEO_FORMATS`.
      The first video stream that is not cover art is used.
    fps: frames per second of the result.
    size: the shorter side, in pixels; the longer one is rounded down. The
      aspect ratio of the pixels is ignored.
    crop: keep only the centre [size, size].
    start: of the piece, seconds.
    end: of the piece, seconds; None or a time after the end: until the end.
    tolerance: share of the packets that may be damaged, see
      `containers.Damage`.

  Returns:
    An iterator of uint8 [H, W, 3], RGB.

  Raises:
    ValueError: fps, size, start or end is not possible.
    MediaError: the path is no local file, or the file is empty, has another
      format, no video stream, or frames that are too large; while iterating:
      too many packets are damaged, a time is impossible, or it is cut off.

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
  return _frames(
    path,
    ffmpeg_video.open_video(path),
    tolerance=tolerance,
    # Rates are ratios such as 24000/1001, and times are compared exactly.
    fps=Fraction(fps).limit_denominator(1001),
    size=size,
    crop=crop,
    start=Fraction(min(start, ffmpeg_video.LONGEST)),
    end=None if end is None else Fraction(min(end, ffmpeg_video.LONGEST)),
  )


def _frames(path, container, *, fps, size, crop, start, end, tolerance):
  """The iterator that `frames` returns; closes the container."""
  name = os.fspath(path)
  with containers.media_errors(name, 'The file is damaged or cut off'):
    timed = ffmpeg_video.timed_frames(path, container, start, tolerance)
    shown = resample(timed, fps, start, end)
    yield from filters.scale(name, shown, size, crop)


def resample(
  timed: Iterable[ffmpeg_video.Timed],
  fps: Fraction,
  start: Fraction,
  end: Fraction | None,
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
