"""Process that decodes untrusted media files for `decoder.Decoder`.

It gets the descriptor of one file at a time, and sends back the sound and the
pictures. Before the first file it imports all that decoding needs, then locks
itself in: see `sandbox`.
"""

import errno
import io
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

# All that libraries import when they need it: later nothing can be imported.
import av
import av.filter
import av.subtitles.codeccontext
import av.subtitles.stream
import av.subtitles.subtitle
import numpy as np
import soundfile  # noqa: F401
import soxr  # noqa: F401
from PIL import (  # What `Image.init` adds takes up memory.
  Image,
  ImageColor,  # noqa: F401
  MpoImagePlugin,  # noqa: F401
  TiffImagePlugin,  # noqa: F401
  WebPImagePlugin,  # noqa: F401
)

from avl_jax.extraction.decoding import protocol, sandbox
from avl_jax.features import (
  MediaError,
  RefusedError,
  audio,
  formats,
  images,
  transcoding,
  video,
)
from avl_jax.features.ffmpeg import audio as ffmpeg_audio  # noqa: F401
from avl_jax.features.ffmpeg import containers
from avl_jax.features.open_file import OpenFile

# Descriptors: the socket, output, errors, the media file. With the file open,
# no further one can be opened, even where system calls are not filtered.
DESCRIPTORS = 4
# What the system says when memory, or memory for a thread, is wanting.
_NO_MEMORY = (os.strerror(errno.ENOMEM), os.strerror(errno.EAGAIN))
_PULSE = 1.0  # second after which the parent is told that reading continues


class _Lines(io.TextIOBase):
  """Standard error, whose lines go to the parent."""

  def __init__(self, send: Callable[[dict], None]):
    self._send = send

  def write(self, text: str) -> int:
    """Sends the lines."""
    for line in filter(None, text.splitlines()):
      self._send({'kind': 'line', 'text': line[:1000]})
    return len(text)


class Server:
  """Answers the requests of the parent until it goes.

  Example:
    Server(audio.read_audio, video.frames).run()
  """

  def __init__(
    self,
    read_audio: Callable[..., np.ndarray],
    read_frames: Callable[..., Iterator[np.ndarray]],
  ):
    """Sets what decodes: `audio.read_audio` and `video.frames`."""
    self._read_audio, self._read_frames = read_audio, read_frames
    # The parent gives its end of a socket as standard input.
    self._channel = socket.socket(fileno=0)
    self._file: OpenFile | None = None
    self._sent = 0.0  # when the last message was sent
    self._limits: dict[str, Any] = {}

  def run(self) -> None:
    """Locks this process in, then answers."""
    sandbox.die_with_parent()
    first = protocol.receive_request(self._channel)
    if first is None:
      return
    self._limits, _ = first
    time.localtime()  # reads the time zone
    Image.preinit()  # imports Pillow's other readers of `formats`
    # Python's and the libraries' own lines are dropped, the project's sent.
    os.dup2(1, 2)
    sys.stderr = _Lines(self._send)
    lacking = sandbox.lock(self._limits['memory'], DESCRIPTORS)
    self._send({'kind': 'ready', 'lacking': lacking})
    while request := protocol.receive_request(self._channel):
      try:
        self._answer(*request)
      except BrokenPipeError:
        return
      except Exception as error:  # FFmpeg's and Python's, of any kind
        self._send(self._described(error))

  def _send(self, header: dict, arrays: Iterable[np.ndarray] = ()) -> None:
    protocol.send(self._channel, header, list(arrays))
    self._sent = time.monotonic()

  def _pulse(self) -> None:
    if time.monotonic() > self._sent + _PULSE:
      self._send({'kind': 'working'})

  def _described(self, error: Exception) -> dict[str, Any]:
    """The message about an error: name of one of `MediaError`s, and why."""
    kind, message = type(error).__name__, str(error)
    if isinstance(error, MemoryError) or any(map(message.count, _NO_MEMORY)):
      kind = RefusedError.__name__
      message = (
        f'{self._name}: Decoding the file takes more than '
        f'{self._limits["memory"] / 2**30:.1f} GiB of memory, or it has more '
        'than 1000 streams.'
      )
    elif not isinstance(error, MediaError):
      message = f'{self._name}: Reading it fails ({kind}: {message}).'
    return {'kind': 'error', 'error': kind, 'message': message[:4000]}

  @property
  def _name(self) -> str:
    return self._file.name if self._file else 'The file'

  def _answer(self, request: dict[str, Any], descriptors: list[int]) -> None:
    operation = request.pop('op')
    if operation == 'close':
      if self._file:
        os.close(self._file.descriptor)
      self._file = None
      return
    sandbox.limit_processor(request.pop('processor'))
    if operation == 'open':
      self._file = OpenFile(descriptors[0], **request, on_read=self._pulse)
      self._send({'kind': 'opened', 'duration': self._checked_duration()})
    elif operation == 'waveform':
      waveform = self._read_audio(self._file, **request)
      self._send({'kind': 'waveform', 'shape': waveform.shape}, [waveform])
    elif operation in ('picture', 'clip'):
      array = self._made(operation, request)
      self._send({'kind': operation, 'shape': array.shape}, [array])
    elif operation == 'streams':
      self._send({'kind': 'streams', **transcoding.streams(self._opened)})
    else:
      for batch in self._batches(**request):
        shape = [len(batch), *batch[0].shape]
        self._send({'kind': 'frames', 'shape': shape}, batch)
      self._send({'kind': 'end'})

  @property
  def _opened(self) -> OpenFile:
    assert self._file is not None
    return self._file

  def _made(self, operation: str, options: dict[str, Any]) -> np.ndarray:
    if operation == 'picture':
      pixels = images.read_image(self._opened)
      longest = options['longest']
      return images.reduced(pixels, longest) if longest else pixels
    return transcoding.clip(self._opened, **options, on_progress=self._pulse)

  def _checked_duration(self) -> float:
    """Seconds that the file claims; RefusedError if it claims too much."""
    name, limits = self._name, self._limits
    try:
      container = containers.open_container(
        self._opened,
        name,
        (*formats.VIDEO_FORMATS, *formats.AUDIO_FORMATS),
      )
    except (av.FFmpegError, MediaError):
      return 0.0  # What is asked for later says what is wrong.
    with container:
      if len(container.streams) > (most := limits['most_streams']):
        raise RefusedError(
          f'{name}: The file has {len(container.streams):,} streams. Expected '
          f'at most {most}.'
        )
      duration = (container.duration or 0) / av.time_base
      # It may count from zero or from the first time.
      first = max(0, container.start_time or 0) / av.time_base
      duration -= first if duration > first else 0
    if duration > (longest := limits['longest_seconds']):
      raise RefusedError(
        f'{name}: The file lasts {duration / 3600:,.1f} hours. Expected at '
        f'most {longest / 3600:g}.'
        if longest >= 3600
        else f'{name}: The file lasts {duration:,.0f} s. Expected at most '
        f'{longest:g} s.'
      )
    return max(0.0, duration)

  def _batches(self, fps: float, **options) -> Iterator[list[np.ndarray]]:
    """Frames, about `CHUNK` bytes at a time."""
    batch = []
    for frame in self._read_frames(self._file, fps, **options):
      batch.append(frame)
      if len(batch) * frame.nbytes >= protocol.CHUNK:
        yield batch
        batch = []
    if batch:
      yield batch


def main(
  read_audio: Callable[..., np.ndarray] = audio.read_audio,
  read_frames: Callable[..., Iterator[np.ndarray]] = video.frames,
) -> None:
  """Runs the server."""
  server = Server(read_audio, read_frames)
  server.run()


if __name__ == '__main__':
  main()
