"""The clips of a training example: windows, augmentation, words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from avl_jax.features import clips as clip_features
from input_pipeline.batches import collate
from input_pipeline.transforms import image_crops
from input_pipeline.transforms.audio_augmentation import Augmentation
from input_pipeline.transforms.caption_vectors import Captions


class Windows:
  """Cuts examples into clips; the arguments are those of `TrainBatches`.

  Attributes:
    clips: how many an example gives.
  """

  def __init__(
    self,
    captions: Captions | None,
    *,
    clips_per_example: int,
    num_frames: int,
    augmentation: Mapping,
    min_time: float,
    word_order: str,
    streams: Sequence[str],
  ):
    """Keeps what is the same for all examples."""
    self._captions = captions
    self._whole_ones, self.clips = not clips_per_example, clips_per_example or 1
    self._num_frames = num_frames
    self._augmentation = Augmentation(**augmentation) if augmentation else None
    self._min_time, self._word_order = min_time, word_order
    self._streams = streams

  @property
  def need_waveform(self) -> bool:
    """Whether examples must have their recording decoded."""
    return self._augmentation is not None

  @property
  def need_captions(self) -> bool:
    """Whether examples must have captions, to cut windows around."""
    return not self._whole_ones and self._min_time > 0

  def __call__(self, example: dict, rng: np.random.Generator) -> Iterator[dict]:
    """Yields the clips of an example, as rows of a batch; see the package."""
    if self._augmentation:
      example = example | {
        'spectrogram': collate.changed(example, self._augmentation, rng)
      }
    example = clip_features.choose_streams(example, self._streams)
    if 'picture' in example:
      example['picture'] = image_crops.random_crop(example['picture'], rng)
    if self._whole_ones:
      clips = [self._whole(example, rng)]
    elif self.need_captions:
      clips = self._around_captions(example, rng)
    else:
      clips = self._anywhere(example, rng)
    identity = {'id': example['id'].decode()}
    for clip in clips:
      yield self._in_words(clip) | identity

  def _whole(self, example: dict, rng: np.random.Generator) -> dict:
    clip = clip_features.whole_clip(example, self._num_frames)
    if self._captions:
      clip['caption'] = clip_features.draw_caption(example, rng)
    return clip

  def _anywhere(
    self, example: dict, rng: np.random.Generator
  ) -> Iterable[dict]:
    starts = clip_features.random_starts(
      len(example['spectrogram']), self._num_frames, self.clips, rng
    )
    return (
      clip_features.cut_clip(example, start, self._num_frames)
      for start in starts
    )

  def _around_captions(
    self, example: dict, rng: np.random.Generator
  ) -> Iterable[dict]:
    return (
      clip_features.caption_clip(
        example,
        index,
        num_frames=self._num_frames,
        min_time=self._min_time,
        order=self._word_order,
      )
      for index in rng.integers(len(example['captions']), size=self.clips)
    )

  def _in_words(self, clip: dict) -> dict:
    """The clip with vectors, if asked for, in place of its caption."""
    caption = clip.pop('caption', '')
    if self._captions:
      clip['words'] = self._captions(caption)
    return clip
