"""Writes a video file: H.264 and AAC in MP4, the same bytes each time."""

import pathlib
from collections.abc import Iterable

import av
import numpy as np
from PIL import Image

from avl_jax.features import SAMPLE_RATE

_BLOCK = 1024  # samples of an AAC frame
# Of one thread, so that bytes do not depend on the number of cores.
_QUICK = {'preset': 'ultrafast', 'crf': '23', 'threads': '1'}


def write(
  path: pathlib.Path,
  pictures: Iterable[Image.Image],
  rate: int,
  size: tuple[int, int],
  waveform: np.ndarray,
) -> None:
  """Writes a video.

  Args:
    path: of the file, .mp4.
    pictures: RGB, in order.
    rate: pictures a second.
    size: width and height, pixels, even.
    waveform: float32 [samples] at 16 kHz.
  """
  with av.open(str(path), 'w', format='mp4') as container:
    video = container.add_stream('libx264', rate=rate, options=_QUICK)
    video.width, video.height, video.pix_fmt = *size, 'yuv420p'
    video.gop_size = 2 * rate
    sound = container.add_stream(
      'aac', rate=SAMPLE_RATE, options={'aac_coder': 'fast'}, layout='mono'
    )
    sound.bit_rate = 48_000
    heard = 0
    for index, picture in enumerate(pictures):
      frame = av.VideoFrame.from_image(picture)
      frame.pts = index
      container.mux(video.encode(frame))
      # Sound and pictures alternate in the file.
      until = round((index + 1) / rate * SAMPLE_RATE)
      for first in range(heard, until, _BLOCK):
        container.mux(sound.encode(_frame(waveform, first)))
        heard = first + _BLOCK
    container.mux(video.encode(None))
    container.mux(sound.encode(None))


def _frame(waveform: np.ndarray, first: int) -> av.AudioFrame:
  block = np.ascontiguousarray(waveform[None, first : first + _BLOCK])
  frame = av.AudioFrame.from_ndarray(block, 'fltp', 'mono')
  frame.sample_rate, frame.pts = SAMPLE_RATE, first
  return frame
