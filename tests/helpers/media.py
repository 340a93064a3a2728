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
) -> None:
  """Writes a video whose picture becomes lighter every second.

  Args:
    path: .mp4, .mkv, .webm or .avi.
    waveform: float [samples] or [channels, samples]; None: no audio.
    rate: of the waveform, Hz.
    codec: of the audio.
    seconds: length of the video stream.
    delay: seconds from the first picture to the start of the audio.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  with av.open(str(path), 'w') as container:
    kind = 'libvpx' if path.suffix == '.webm' else 'mpeg4'
    quick = (
      {'deadline': 'realtime', 'cpu-used': '8'} if kind == 'libvpx' else {}
    )
    stream = container.add_stream(kind, rate=FRAME_RATE, options=quick)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
    sound = None
    if waveform is not None:
      waveform = np.atleast_2d(waveform).astype(np.float32)
      layout = 'mono' if len(waveform) == 1 else 'stereo'
      quick = {'aac_coder': 'fast'} if codec == 'aac' else {}
      sound = container.add_stream(
        codec, rate=rate, options=quick, layout=layout
      )
    for index in range(round(seconds * FRAME_RATE)):
      picture = np.full((HEIGHT, WIDTH, 3), 20 * (index // FRAME_RATE) % 256)
      frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8))
      container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
    if sound is not None:
      for first in range(0, waveform.shape[1], 1024):
        block = np.ascontiguousarray(waveform[:, first : first + 1024])
        frame = av.AudioFrame.from_ndarray(block, 'fltp', layout)
        frame.sample_rate, frame.pts = rate, first + round(delay * rate)
        container.mux(sound.encode(frame))
      container.mux(sound.encode(None))
