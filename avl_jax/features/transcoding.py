"""Cuts pieces of media files and turns them into what browsers play.

Pictures and sound are read as everywhere (`video.frames`, `audio.read_audio`),
so a piece begins at the moment asked for, with sound and picture on one clock,
whatever the format. Its sound is mono.
"""

import io
import os
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np

from avl_jax.features import (
  NoAudioError,
  NoPictureError,
  RefusedError,
  TooShortError,
  audio,
  formats,
  video,
)
from avl_jax.features.ffmpeg import containers
from avl_jax.features.ffmpeg import video as ffmpeg_video
from avl_jax.features.open_file import OpenFile

_RATE = 48_000  # Hz, of the sound
_SAMPLES = 1024  # of a packet of AAC
_FASTEST = 30  # pictures a second
_H264 = {'preset': 'veryfast', 'crf': '26', 'threads': '2'}


def streams(file: str | os.PathLike | OpenFile) -> dict[str, str]:
  """What a file consists of.

  Returns:
    'format': FFmpeg's name of the container; 'video' and 'audio': codec of the
    first stream of the kind, '' where there is none; 'pixels': the format of
    the pictures, such as 'yuv420p'.

  Raises:
    MediaError: it cannot be opened.
  """
  name = os.fspath(file)
  found = {'format': '', 'video': '', 'audio': '', 'pixels': ''}
  with containers.media_errors(name, 'The file cannot be opened'):
    container = containers.open_container(
      containers.check_file(file),
      name,
      (*formats.VIDEO_FORMATS, *formats.AUDIO_FORMATS),
    )
  with container:
    found['format'] = container.format.name
    for stream in container.streams:
      context = stream.codec_context
      kind = stream.type
      if context is None or kind not in found or found[kind]:
        continue
      if _is_cover(stream):
        continue
      found[kind] = context.codec.canonical_name
      if isinstance(context, av.VideoCodecContext):
        found['pixels'] = context.pix_fmt or ''
  return found


def _is_cover(stream: Any) -> bool:
  """Whether a stream is the picture of an album."""
  return bool(stream.disposition & type(stream.disposition).attached_pic)


def clip(
  file: str | os.PathLike | OpenFile,
  start: float,
  end: float,
  size: int,
  most_bytes: int,
  on_progress: Callable[[], None] = lambda: None,
) -> np.ndarray:
  """A piece of a file as MP4 with H.264 and AAC.

  Args:
    file: a local file of sound or video.
    start: of the piece, seconds.
    end: of the piece, seconds.
    size: the shorter side of the pictures at most, pixels.
    most_bytes: of the result.
    on_progress: called now and then.

  Returns:
    uint8 [bytes].

  Raises:
    MediaError: the file cannot be read; NoPictureError: it has neither
      pictures nor sound; TooShortError: there is nothing at this time;
      RefusedError: the piece takes more bytes.
  """
  name = os.fspath(file)
  sound = _sound(file, start, end)
  pictures = _Pictures(file, start, end, size)
  if sound is None and not pictures.there_are:
    raise NoPictureError(f'{name}: It has neither pictures nor sound.')
  output = io.BytesIO()
  # Its table stands at the end: to move it, FFmpeg would open a file.
  with av.open(output, 'w', format='mp4') as container:
    writer = _Writer(name, container, output, most_bytes)
    writer.write(pictures, sound, on_progress)
  if not writer.count:
    raise TooShortError(f'{name}: There is nothing from {start:g} s on.')
  writer.check()
  return np.frombuffer(output.getbuffer(), np.uint8)


def _sound(
  file: str | os.PathLike | OpenFile, start: float, end: float
) -> np.ndarray | None:
  """float32 [samples]; None: there is none at this time."""
  try:
    waveform = audio.read_audio(file, _RATE, start=start, end=end)
  except (NoAudioError, TooShortError):
    return None
  return np.clip(waveform, -1, 1)


class _Pictures:
  """The pictures of a piece, with an even number of rows and columns."""

  def __init__(
    self, file: str | os.PathLike | OpenFile, start: float, end: float, size
  ):
    self._file, self._span = file, (start, end)
    self.there_are, self.rate, self.size = False, Fraction(25), size
    try:
      container = ffmpeg_video.open_video(file)
    except NoPictureError:
      return
    except RefusedError:  # Perhaps a format of sound alone.
      if streams(file)['video']:
        raise
      return
    with container:
      stream = next(s for s in container.streams.video if not _is_cover(s))
      self.rate = min(Fraction(_FASTEST), stream.average_rate or self.rate)
      self.size = max(16, min(size, stream.width, stream.height))
      self.there_are = True

  def __iter__(self):
    if not self.there_are:
      return
    start, end = self._span
    for picture in video.frames(
      self._file, float(self.rate), self.size, False, start, end
    ):
      height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
      yield np.ascontiguousarray(picture[:height, :width])


class _Writer:
  """Writes pictures and sound, in the order of their times."""

  def __init__(self, name: str, container, output: io.BytesIO, most: int):
    self.count = 0  # pictures and packets of sound
    self._name, self._container = name, container
    self._output, self._most = output, most
    self._stream = self._sound = None

  def write(
    self,
    pictures: _Pictures,
    waveform: np.ndarray | None,
    on_progress: Callable[[], None],
  ) -> None:
    """Writes all."""
    if waveform is not None:
      self._sound = self._container.add_stream('aac', _RATE, layout='mono')
      self._sound.bit_rate = 96_000
    written, rate = 0, pictures.rate.limit_denominator(1001)
    for number, picture in enumerate(pictures):
      if self._stream is None:
        self._stream = self._container.add_stream(
          'libx264', rate, options=_H264, pix_fmt='yuv420p'
        )
        self._stream.height, self._stream.width = picture.shape[:2]
      frame = av.VideoFrame.from_ndarray(picture, 'rgb24')
      frame.pts, frame.time_base = number, 1 / rate
      self._mux(self._stream.encode(frame))
      if waveform is not None:
        until = int((number + 1) / rate * _RATE)
        written = self._write_sound(waveform, written, until)
      on_progress()
    if waveform is not None:
      self._write_sound(waveform, written, len(waveform) + _SAMPLES)
    for stream in filter(None, (self._stream, self._sound)):
      self._mux(stream.encode(None))

  def _write_sound(self, waveform: np.ndarray, first: int, until: int) -> int:
    """Writes whole packets up to a sample, and the last; the next sample."""
    assert self._sound is not None
    while first + _SAMPLES <= until and first < len(waveform):
      block = np.ascontiguousarray(waveform[None, first : first + _SAMPLES])
      frame = av.AudioFrame.from_ndarray(block, 'fltp', 'mono')
      frame.sample_rate, frame.pts = _RATE, first
      frame.time_base = Fraction(1, _RATE)
      self._mux(self._sound.encode(frame))
      first += _SAMPLES
    return first

  def _mux(self, packets: list) -> None:
    self.count += len(packets)
    self._container.mux(packets)
    self.check()

  def check(self) -> None:
    """Raises RefusedError if there are too many bytes."""
    if self._output.tell() > self._most:
      raise RefusedError(
        f'{self._name}: The piece takes more than {self._most / 2**20:g} MiB. '
        'Ask for a shorter one.'
      )
