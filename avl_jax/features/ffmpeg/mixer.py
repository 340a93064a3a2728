"""Averages the channels of decoded sound."""

from collections.abc import Iterator

import av
import numpy as np


class Mixer:
  """Averages the channels of frames, whatever their format and layout."""

  def __init__(self):
    """Starts without a format; that of the frames may change."""
    self._kind: tuple[str, str, int] | None = None
    self._pack = av.AudioResampler(format='flt')

  def __call__(self, frame: av.AudioFrame) -> Iterator[np.ndarray]:
    """Yields float32 [samples] of a frame."""
    kind = frame.format.name, frame.layout.name, frame.sample_rate
    if kind != self._kind:
      # Packed: av reads beyond the planes of eight and more channels.
      self._kind, self._pack = kind, av.AudioResampler(format='flt')
    channels = frame.layout.nb_channels
    for block in self._pack.resample(frame):
      packed = block.to_ndarray().reshape(-1, channels)
      yield np.ascontiguousarray(packed.T).mean(axis=0)
