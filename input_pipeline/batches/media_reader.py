"""Media of an evaluation's examples, to show them."""

from collections.abc import Sequence
from typing import overload

import numpy as np

from avl_jax.features import flac, images
from avl_jax.features.media import Media
from input_pipeline.records.reader import Records


class MediaReader(Sequence[Media]):
  """Media of chosen records, a sequence that reads each when it is indexed."""

  def __init__(self, records: Records, indices: np.ndarray):
    self._records, self._indices = records, indices

  def __len__(self) -> int:
    return len(self._indices)

  @overload
  def __getitem__(self, index: int) -> Media: ...

  @overload
  def __getitem__(self, index: slice) -> Sequence[Media]: ...

  def __getitem__(self, index: int | slice) -> Media | Sequence[Media]:
    if isinstance(index, slice):
      return MediaReader(self._records, self._indices[index])
    example = self._records.read([int(self._indices[index])])[0]
    return Media(
      id=example['id'].decode(),
      caption=example['captions'][0].decode(),
      image=images.read_image(example['image']),
      waveform=flac.decode(example['audio']),
    )
