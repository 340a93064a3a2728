"""Decodes the sound of audio and video files with FFmpeg's libraries."""

import io
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

from avl_jax.features import NoAudioError, RefusedError, formats
from avl_jax.features.ffmpeg import containers
from avl_jax.features.ffmpeg.mixer import Mixer
from avl_jax.features.open_file import OpenFile

PREROLL = 1  # second decoded before a piece
SLACK = Fraction(1, 10)  # seconds that samples may leave the file's time
Run = tuple[np.ndarray, int]  # mono samples and their rate, Hz
_PROBLEM = 'Neither libsndfile nor FFmpeg can read the file'


def decode(
  source: str | bytes | OpenFile,
  name: str,
  start: float,
  end: float,
  tolerance: float,
  longest: int,
) -> list[Run]:
  """Decodes the first readable audio stream from `start` to `end` s as mono.

  Second k of the result is second k of the piece on the clock of the pictures:
  what the sound lacks at its beginning or in a gap is silence. Files of sound
  alone have no such clock; their samples follow each other.

  Args:
    source: result of `containers.check_file`, or the content of a file.
    name: of the file, for messages.
    start: of the piece, seconds.
    end: of the piece, seconds.
    tolerance: see `containers.Damage`.
    longest: number of samples of the result at most.

  Returns:
    float32 [samples] and the rate in Hz; several if the rate changes.

  Raises:
    MediaError: the file cannot be read; RefusedError; NoAudioError.
  """
  with containers.media_errors(name, _PROBLEM):
    if start > 0:
      with _open(source, name) as container:
        reader = _Reader(container, name, start, end, longest)
        if reader.seek():
          try:
            return reader.read(tolerance)
          except (_AstrayError, av.FFmpegError):
            pass
    with _open(source, name) as container:
      return _Reader(container, name, start, end, longest).read(tolerance)


def packets(source: str | bytes | OpenFile) -> tuple[float, int]:
  """Seconds in all packets of the sound, and the number of its formats.

  Raises:
    MediaError: the file cannot be read, or has no sound.
  """
  seconds, kinds = Fraction(0), set()
  name = 'The file'
  with (
    containers.media_errors(name, _PROBLEM),
    _open(source, name) as container,
  ):
    stream = _stream(container, name)
    for packet in containers.demux(container, stream):
      seconds += containers.duration(packet)
      if stream.codec_context.name.startswith('mp3') and packet.size > 4:
        # Version, layer, rate and whether it is mono, in the frame's header.
        head = bytes(packet)[1:4]
        kinds.add((head[0] & 0x1E, head[1] & 0x0C, head[2] >> 6 == 3))
  return float(seconds), len(kinds)


class _AstrayError(Exception):
  """Seeking has led to a place after the start of the piece."""


def _open(
  source: str | bytes | OpenFile, name: str
) -> av.container.InputContainer:
  file = io.BytesIO(source) if isinstance(source, bytes) else source
  allowed = (*formats.VIDEO_FORMATS, *formats.AUDIO_FORMATS)
  return containers.open_container(file, name, allowed)


def _stream(container, name: str):
  """The first audio stream whose codec is read."""
  if not container.streams.audio:
    raise NoAudioError(f'{name}: The file has no audio stream.')
  for stream in container.streams.audio:
    if formats.is_allowed(stream, formats.AUDIO_CODECS):
      return stream
  first = container.streams.audio[0]
  raise formats.refusal(name, 'sound', first, formats.AUDIO_CODECS)


class _Reader:
  """Reads a piece; times are seconds since the file's earliest stream."""

  def __init__(self, container, name, start, end, longest):
    self._container, self._name = container, name
    self._stream = _stream(container, name)
    self._stream.codec_context.open(strict=False)
    self._start, self._end = Fraction(max(0.0, start)), end
    self._longest, self._length = longest, 0
    self._runs: list[tuple[int, list[np.ndarray]]] = []
    # In files of sound alone, FFmpeg derives times from the size of packets.
    self._has_clock = _has_clock(container)
    self._origin = Fraction(container.start_time or 0, 10**6)
    self._time: Any = Fraction(0)  # of the next sample; None: not known yet
    self._rate, self._next = self._stream.rate or 16_000, 0
    self._usual = Fraction(0)  # seconds of a packet
    self._shift = Fraction(0)  # from the file's times to these
    # A later time is a jump of the clock, not a gap.
    self._last = Fraction(container.duration or 10**12, 10**6)

  def seek(self) -> bool:
    """Goes to a place before the piece; whether it is possible."""
    if not self._has_clock or containers.clock_restarts(self._container):
      return False
    time = self._origin + max(Fraction(0), self._start - PREROLL)
    try:
      self._container.seek(round(time * av.time_base))
    except av.FFmpegError:
      return False
    self._time = None
    return True

  def read(self, tolerance: float) -> list[Run]:
    """Decodes the piece; _AstrayError if its start has been missed."""
    damage = containers.Damage(self._name, 'sound', tolerance)
    mixer = Mixer()
    for frame in self._decoded(damage):
      rate, at = frame.sample_rate, self._place(frame)
      if at >= self._end * rate:
        break
      for block in mixer(frame):
        self._add(block, rate, at)
        at += len(block)
      self._rate, self._next = rate, at
      self._usual = Fraction(frame.samples, rate)
      self._time += self._usual
    if self._time is None:
      raise _AstrayError
    damage.check()
    return [(np.concatenate(blocks), rate) for rate, blocks in self._runs]

  def _decoded(self, damage: containers.Damage) -> Iterator[av.AudioFrame]:
    """Yields the frames; damaged packets become silence."""
    for packet in containers.demux(self._container, self._stream):
      seconds = max(Fraction(0), containers.duration(packet)) or self._usual
      frames = self._decode(packet, seconds, damage)
      if frames is None:
        self._add_silence(seconds, self._rate)
      else:
        yield from frames

  def _decode(self, packet, seconds, damage) -> list | None:
    """The frames of a packet; None if it is damaged."""
    before = self._start > 0 and packet.pts is not None
    if before and self._has_clock:
      ends = packet.pts * packet.time_base - self._origin + seconds
      before = ends <= self._start
    else:
      before = self._time is not None and self._time < self._start
    if not before:
      return damage.decode(packet, float(seconds))
    try:  # After seeking, a decoder may need some packets.
      return packet.decode()
    except av.FFmpegError:
      return None

  def _place(self, frame) -> int:
    """Fills the gap before a frame; returns the frame's place in samples."""
    rate, stamp = frame.sample_rate, None
    if self._has_clock and frame.pts is not None:
      stamp = frame.pts * frame.time_base - self._origin + self._shift
    if self._time is None:  # the first frame after seeking
      if stamp is None or round(float(stamp) * rate) > self._start * rate:
        raise _AstrayError
      self._time = stamp
    if stamp is None:
      return self._next if rate == self._rate else round(self._time * rate)
    gap = stamp - self._time
    if abs(gap) <= SLACK:
      return round(float(stamp) * rate)
    if 0 < gap <= containers.LONGEST_PAUSE and stamp <= self._last:
      self._add_silence(gap, rate)
    else:  # The file's time jumps; the sound goes on.
      self._shift -= gap
    return round(self._time * rate)

  def _add_silence(self, seconds: Fraction, rate: int) -> None:
    if self._time is None:
      return
    first, self._time = self._time, self._time + seconds
    self._next = round(self._time * rate)
    last = min(self._time, self._end)
    count = round(last * rate) - round(max(first, self._start) * rate)
    if count > 0:
      self._append(np.broadcast_to(np.float32(0), count), rate)

  def _add(self, block: np.ndarray, rate: int, at: int) -> None:
    """Adds the part of a block at sample `at` that is in the piece."""
    first = max(0, round(self._start * rate) - at) if self._start else 0
    last = None
    if self._end < math.inf:
      last = max(0, round(self._end * rate) - at)
    self._append(block[first:last], rate)

  def _append(self, block: np.ndarray, rate: int) -> None:
    self._length += len(block)
    if self._length > self._longest:
      raise RefusedError(
        f'{self._name}: The audio has more than {self._longest:,} samples.'
      )
    if not self._runs or self._runs[-1][0] != rate:
      self._runs.append((rate, []))
    self._runs[-1][1].append(block)


def _has_clock(container) -> bool:
  """Whether the file says when its sound is heard."""
  alone = {'ogg'} | set(formats.AUDIO_FORMATS)
  alone &= set(container.format.name.split(','))
  return not alone or ('ogg' in alone and bool(container.streams.video))
