"""Videos of known pictures, without loss."""

import itertools
from fractions import Fraction

import av
import numpy as np

LOSSLESS = {'nut': 'ffv1', 'mkv': 'ffv1', 'avi': 'ffv1', 'mov': 'png'}


def write(path, pictures, rate=25, codec='ffv1', pixels='bgr0', times=None):
  """A video of uint8 [H, W, 3] pictures; `times` are in 1 / rate seconds."""
  with av.open(str(path), 'w') as container:
    stream = container.add_stream(codec, rate=Fraction(rate))
    stream.height, stream.width = pictures[0].shape[:2]
    stream.pix_fmt = pixels
    for time, picture in zip(
      times or itertools.count(), pictures, strict=False
    ):
      frame = av.VideoFrame.from_ndarray(picture, 'rgb24')
      frame = frame.reformat(format=pixels)
      frame.pts, frame.time_base = time, 1 / Fraction(rate)
      container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
  return path


def numbered(count, size=(16, 16)):
  """Pictures that show their number."""
  for i in range(count):
    yield np.full((*size, 3), (i % 256, i // 256, 99), np.uint8)


def write_numbered(path, count, rate=25, size=(16, 16)):
  codec = LOSSLESS[path.suffix[1:]]
  pixels = 'rgb24' if codec == 'png' else 'bgr0'
  return write(path, list(numbered(count, size)), rate, codec, pixels)


def pattern(height, width):
  return (
    np.random.default_rng(0)
    .integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    .repeat(8, 0)
    .repeat(8, 1)
  )
