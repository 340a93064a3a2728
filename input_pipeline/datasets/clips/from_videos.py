"""Clips of raw videos, found by the data sets' annotations, in our schema."""

import collections
import functools
import math
import pathlib
from collections.abc import Callable

import numpy as np

from avl_jax.errors import UserError
from avl_jax.extraction.video_features import Extraction, VideoFiles
from input_pipeline.datasets.clips.annotations import Clip
from input_pipeline.datasets.parsing import Skip


class Filmed:
  """A data set's annotated clips whose videos are in a folder.

  Attributes:
    splits: those of which there is at least one video.
    without: why a split is not made, for counting.
  """

  without = 'no video or annotation'

  def __init__(
    self,
    root: pathlib.Path,
    read: Callable[[pathlib.Path, Skip], list[Clip]],
    extraction: Extraction,
    skip: Skip,
  ):
    """Reads the annotations and looks for the videos.

    Args:
      root: folder with both.
      read: of `annotations`.
      extraction: of the videos' features.
      skip: told what is left out and why.

    Raises:
      UserError: annotations are missing or wrong, or there is no video.
    """
    self._extraction = extraction
    self._skip, self._short = skip, set()
    annotated = collections.defaultdict(list)
    for clip in read(root, skip):
      annotated[clip.split].append(clip)
    self._videos = VideoFiles(root)
    self._clips = {
      split: clips
      for split, clips in annotated.items()
      if any(clip.video in self._videos for clip in clips)
    }
    self.splits = list(self._clips)
    if not self.splits:
      raise UserError(
        f'there is no video of the {sum(map(len, annotated.values())):,} '
        f'annotated clips below {self._videos.root}: expected files named as '
        'the annotations name them, such as ID.mp4'
      )

  def missing(self, split: str) -> str:
    """What is not there of a split that is not made."""
    return f'video or annotation of {split}'

  def origin(self, split: str) -> str:
    """Where a split comes from, for people."""
    del split
    return 'annotated'

  def entries(self, split: str) -> list[tuple[str, Callable[[], dict]]]:
    """(name, function that makes the record or raises) of each clip."""
    return [
      (clip.id, functools.partial(self._example_of, clip))
      for clip in self._clips[split]
    ]

  def _example_of(self, clip: Clip) -> dict:
    """The record of a clip without its language; see `Extraction`."""
    path = self._videos(clip.video)
    arrays = self._extraction(path, clip.start, clip.end)
    whole = math.isinf(clip.end)
    seconds = len(arrays['spectrogram']) / 100
    short = not whole and seconds < clip.end - clip.start - 1
    if short and clip.id not in self._short:  # Splits may share clips.
      self._short.add(clip.id)
      self._skip('shorter than annotated, but kept', clip.id)
    source = str(path.relative_to(self._videos.root.resolve()))
    return {
      'id': clip.id,
      'group': clip.video,
      'captions': list(clip.captions),
      'source': f'{source} task {clip.task}' if clip.task else source,
      'start': math.nan if whole else clip.start,
      'end': math.nan if whole else clip.end,
    } | {key: array.astype(np.float32) for key, array in arrays.items()}
