"""Converts annotated clips of raw videos to the schema of records."""

import collections
import contextlib
import functools
import math
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from avl_jax.errors import UserError
from avl_jax.extraction.skipped import Skipped
from avl_jax.extraction.video_features import Extraction, Piece
from avl_jax.extraction.video_files import VideoFiles
from avl_jax.features import MediaError, reading
from input_pipeline.datasets.clips.annotations import Clip
from input_pipeline.datasets.parsing import Skip


class VideoClips:
  """Annotated clips of a data set whose videos lie in a folder.

  Attributes:
    splits: the splits with at least one video.
  """

  def __init__(
    self,
    root: pathlib.Path,
    read: Callable[[pathlib.Path, Skip], list[Clip]],
    extraction: Extraction,
    skipped: Skipped,
  ):
    """Reads the annotations and looks for the videos.

    Args:
      root: folder with both.
      read: reads the annotations; see `annotations`.
      extraction: extracts features of videos.
      skipped: gets each clip that cannot be used, and remarks.

    Raises:
      UserError: annotations are missing or malformed, or no video exists.
    """
    self._extraction = extraction
    self._skipped = skipped
    self._short: set[str] = set()  # ids of clips that end early
    annotated = collections.defaultdict(list)
    for clip in read(root, skipped.add):
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
        f'There is no video of the {sum(map(len, annotated.values())):,} '
        f'annotated clips below {self._videos.root}. Expected files with the '
        'names in the annotations, such as ID.mp4.'
      )

  def missing(self, split: str) -> str:
    """Names what a missing split lacks."""
    return f'video or annotation of {split}'

  def origin(self, split: str) -> str:
    """Describes the source of a split, for messages."""
    del split
    return 'annotated'

  def entries(self, split: str) -> list[tuple[str, Callable[[], dict]]]:
    """Lists (name, function that returns the record or raises) per clip.

    What takes time is done here, of several videos at once.
    """
    self._extraction.ahead(f'extracting {split}', self._pieces(split))
    return [
      (clip.id, functools.partial(self._example_of, clip))
      for clip in self._clips[split]
    ]

  def _pieces(self, split: str) -> Iterator[Piece]:
    """The pieces of the clips whose videos are there."""
    for clip in self._clips[split]:
      with contextlib.suppress(MediaError), reading.guard(clip.id):
        yield self._videos(clip.video), clip.start, clip.end, np.float32

  def _example_of(self, clip: Clip) -> dict:
    """Extracts the record of a clip, without its language."""
    path = self._videos(clip.video)
    arrays = self._extraction(path, clip.start, clip.end, np.float32)
    is_whole = math.isinf(clip.end)
    seconds = len(arrays['spectrogram']) / 100
    short = not is_whole and seconds < clip.end - clip.start - 1
    if short and clip.id not in self._short:  # Splits may share clips.
      self._short.add(clip.id)
      self._skipped.remark('shorter than annotated, but kept', clip.id)
    source = str(path.relative_to(self._videos.root.resolve()))
    return {
      'id': clip.id,
      'group': clip.video,
      'captions': list(clip.captions),
      'source': f'{source} task {clip.task}' if clip.task else source,
      'start': math.nan if is_whole else clip.start,
      'end': math.nan if is_whole else clip.end,
    } | {key: array.astype(np.float32) for key, array in arrays.items()}
