"""Chooses clips in an example and cuts them: whole recordings and windows."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from avl_jax.features import clips, image_crops
from avl_jax.features.many_clips import cut_clips
from input_pipeline.records.bad_records import DataError
from input_pipeline.transforms.caption_windows import caption_clip
from input_pipeline.transforms.nearest_windows import nearest_starts


@dataclasses.dataclass(frozen=True)
class Cutter:
  """Chooses and cuts the clips of an example; a strategy of `ClipSampler`.

  Attributes:
    num_frames: T, frames of a clip.
    num_clips: clips of an example.
    visual_pooling: of a clip's features, see `clips.pool_visual`.
    needs_captions: whether examples without captions cannot be cut.
    candidates: how many clips, one after the other, are the candidates of the
      first of them; 1: each has itself, and the clips do not say so.
  """

  num_frames: int
  num_clips: int = 1
  visual_pooling: str = dataclasses.field(default='max', kw_only=True)
  needs_captions: bool = dataclasses.field(default=False, init=False)
  candidates: int = dataclasses.field(default=1, init=False)

  def __call__(self, example: dict, rng: np.random.Generator) -> Iterator[dict]:
    """Yields clips, see `clips.cut_clip`, each with its 'caption': str."""
    raise NotImplementedError


class FixedClip(Cutter):
  """The whole recording, the centre of the picture, a fixed caption."""

  def __call__(self, example: dict, rng: np.random.Generator) -> Iterator[dict]:
    """Yields the clip of an evaluation; draws nothing."""
    del rng
    if 'picture' in example:
      picture = image_crops.centre_crop(example['picture'])
      example = example | {'picture': picture}
    clip = clips.whole_clip(example, self.num_frames, self.visual_pooling)
    yield clip | {'caption': fixed_caption(example)}


class RandomClip(Cutter):
  """The whole recording, a random crop of the picture, a random caption."""

  def __call__(self, example: dict, rng: np.random.Generator) -> Iterator[dict]:
    """Yields one clip; draws the crop first, then the caption."""
    if 'picture' in example:
      picture = image_crops.random_crop(example['picture'], rng)
      example = example | {'picture': picture}
    clip = clips.whole_clip(example, self.num_frames, self.visual_pooling)
    yield clip | {'caption': draw_caption(example, rng)}


@dataclasses.dataclass(frozen=True)
class RandomWindows(Cutter):
  """Random windows of an untrimmed video; they have no captions.

  Attributes:
    candidates: 1; or more: each random window is followed by the nearest ones
      that do not overlap with it, see `nearest_windows`.
  """

  candidates: int = dataclasses.field(default=1, kw_only=True)

  def __post_init__(self):
    if self.num_clips % self.candidates:
      raise DataError(
        f'{self.num_clips} windows are no multiple of {self.candidates} '
        'candidates. Set train_data.clips_per_example to one.'
      )

  def __call__(self, example: dict, rng: np.random.Generator) -> Iterator[dict]:
    """Yields `num_clips` windows, a multiple of `candidates`.

    With several candidates, each clip has 'candidates': int32 [candidates],
    where these are in the batch, relative to the clip.
    """
    length, count = len(example['spectrogram']), self.candidates
    drawn = random_starts(length, self.num_frames, self.num_clips // count, rng)
    starts = [
      start
      for first in drawn.tolist()
      for start in nearest_starts(length, self.num_frames, first, count)
    ]
    cut = cut_clips(example, starts, self.num_frames, self.visual_pooling)
    for number, clip in enumerate(cut):
      if count > 1:
        place = number % count
        clip['candidates'] = np.arange(count, dtype=np.int32) - place
      yield clip | {'caption': ''}


@dataclasses.dataclass(frozen=True)
class CaptionWindows(Cutter):
  """Windows around random captions of an untrimmed video.

  Attributes:
    min_time: seconds that a window lasts at least.
    word_order: of the captions in a window: 'time' or 'release', see
      `caption_windows.caption_clip`.
  """

  needs_captions: bool = dataclasses.field(default=True, init=False)
  min_time: float = dataclasses.field(kw_only=True)
  word_order: str = dataclasses.field(kw_only=True)

  def __call__(self, example: dict, rng: np.random.Generator) -> Iterator[dict]:
    """Yields `num_clips` windows."""
    for index in rng.integers(len(example['captions']), size=self.num_clips):
      yield caption_clip(
        example,
        index,
        num_frames=self.num_frames,
        min_time=self.min_time,
        order=self.word_order,
        visual_pooling=self.visual_pooling,
      )


def training_cutter(
  *,
  clips_per_example: int,
  num_frames: int,
  min_time: float,
  word_order: str,
  candidates: int = 1,
  visual_pooling: str = 'max',
) -> Cutter:
  """Returns the cutter of a training; see `batches.train` for the arguments."""
  if not clips_per_example:
    return RandomClip(num_frames, visual_pooling=visual_pooling)
  if min_time > 0:
    return CaptionWindows(
      num_frames,
      clips_per_example,
      visual_pooling=visual_pooling,
      min_time=min_time,
      word_order=word_order,
    )
  return RandomWindows(
    num_frames,
    clips_per_example,
    visual_pooling=visual_pooling,
    candidates=candidates,
  )


def random_starts(
  length: int, num_frames: int, num_clips: int, rng: np.random.Generator
) -> np.ndarray:
  """Draws the start seconds of random windows of an untrimmed video.

  Whole seconds, drawn with replacement; windows may overlap or repeat, as in
  the release's `youtube_dataloader.py`.

  Args:
    length: frames of the video's spectrogram.
    num_frames: frames of a clip.
    num_clips: number of windows.
    rng: of this (seed, epoch, video).

  Returns:
    int [num_clips], from range(max(1, D - (W + 1))), D and W the durations of
    the video and of a clip in whole seconds.
  """
  last = clips.whole_seconds(length) - (clips.whole_seconds(num_frames) + 1)
  return rng.integers(0, max(1, last), num_clips)


def draw_caption(example: dict, rng: np.random.Generator) -> str:
  """Draws one of `captions`, each as likely, as in training on MSR-VTT.

  Returns '' for an example without captions.
  """
  captions = example.get('captions', ())
  return captions[rng.integers(len(captions))].decode() if len(captions) else ''


def fixed_caption(example: dict) -> str:
  """Returns the caption of evaluation: `eval_caption`, or else the first."""
  captions = [*example.get('captions', ()), b'']
  return example.get('eval_caption', captions[0]).decode()
