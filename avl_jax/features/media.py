"""Media of one example, as reports and notebooks show it."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Media:
  """Caption, image and recording of one example of an evaluation.

  Attributes:
    id: name of the example in its data set.
    caption: words that are spoken in it; any script, any length, may be empty.
    image: uint8 [H, W, 3], RGB: the picture, or a frame of the clip.
    waveform: float32 [samples], mono at 16 kHz, within -1 and 1.
  """

  id: str
  caption: str
  image: np.ndarray
  waveform: np.ndarray
