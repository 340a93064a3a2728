"""Writes small videos with audio."""

import pathlib

import av
import numpy as np

WIDTH, HEIGHT = 64, 48
FRAME_RATE = 8  # pictures per second


def write(
  path: pathlib.Path,
  waveform: np.ndarray | None,
  rate: int = 16_000,
  *,
  codec: str = 'aac',
  seconds: float,
  delay: float = 0,
  gap: tuple[float, float] = (np.inf, 0),
  sound_first: bool = False,
  picture: str = '',
) -> None:
  """Writes a video whose picture becomes lighter every second.

  Args:
    path: .mp4, .mkv, .mov, .ts, .webm or .avi.
    waveform: float [samples] or [channels, samples]; None: no audio.
    rate: of the waveform, Hz.
    codec: of the audio.
    seconds: length of the video stream.
    delay: seconds from the first picture to the start of the audio.
    gap: second of the audio before which it pauses, and for how long.
    sound_first: whether audio is the first stream.
    picture: codec of the video stream; '': quick to write.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  with av.open(str(path), 'w') as container:
    sound = None
    if waveform is not None and sound_first:
      sound = _add_sound(container, waveform, rate, codec)
    kind = picture or ('libvpx' if path.suffix == '.webm' else 'mpeg4')
    quick = (
      {'deadline': 'realtime', 'cpu-used': '8'} if kind == 'libvpx' else {}
    )
    stream = container.add_stream(kind, rate=FRAME_RATE, options=quick)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
    if waveform is not None and sound is None:
      sound = _add_sound(container, waveform, rate, codec)
    for index in range(round(seconds * FRAME_RATE)):
      picture = np.full((HEIGHT, WIDTH, 3), 20 * (index // FRAME_RATE) % 256)
      frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8))
      container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
    if waveform is not None and sound is not None:
      write_sound(container, sound, waveform, delay, gap)


def write_sound(
  container: av.container.OutputContainer,
  sound: av.AudioStream,
  waveform: np.ndarray,
  delay: float = 0,
  gap: tuple[float, float] = (np.inf, 0),
) -> None:
  """Encodes a waveform [samples] or [channels, samples]; see `write`."""
  waveform = np.atleast_2d(waveform).astype(np.float32)
  rate, layout = sound.rate, sound.layout.name
  for first in range(0, waveform.shape[1], 1024):
    # Packed, because av cannot fill more than seven planes.
    block = np.ascontiguousarray(waveform[:, first : first + 1024].T)
    frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), 'flt', layout)
    pause = gap[1] if first >= gap[0] * rate else 0
    frame.sample_rate, frame.pts = rate, first + round((delay + pause) * rate)
    container.mux(sound.encode(frame))
  container.mux(sound.encode(None))


def _add_sound(
  container: av.container.OutputContainer,
  waveform: np.ndarray,
  rate: int,
  codec: str,
) -> av.AudioStream:
  channels = len(np.atleast_2d(waveform))
  layout = {1: 'mono', 2: 'stereo', 6: '5.1', 8: '7.1', 16: 'hexadecagonal'}
  quick = {'aac_coder': 'fast'} if codec == 'aac' else {}
  return container.add_stream(
    codec, rate=rate, options=quick, layout=layout[channels]
  )
