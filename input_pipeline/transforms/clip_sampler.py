"""Makes the clips of an example, for training and for evaluation."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from avl_jax import features
from avl_jax.features import clips
from input_pipeline.records.splits import Needs
from input_pipeline.transforms.audio_augmentation import (
  Augmentation,
  augmented_spectrogram,
)
from input_pipeline.transforms.caption_vectors import CaptionVectors
from input_pipeline.transforms.cutters import Cutter
from input_pipeline.transforms.spectrogram_augmentation import (
  SpectrogramAugmentation,
)


class ClipSampler:
  """Makes clips, the rows of a batch, from examples.

  Augments the recording, chooses the visual streams, cuts clips and looks up
  the words of their captions. Training and evaluation differ in the cutter.

  Example:
    sampler = ClipSampler(RandomWindows(num_frames=1000, num_clips=32))
    for clip in sampler(example, np.random.default_rng(0)):
      print(clip['id'], clip['spectrogram'].shape)

  Attributes:
    num_clips: clips of an example.
    needs: requirements on examples.
    dtypes: name -> type of each array of a batch; str for text.
  """

  def __init__(
    self,
    cutter: Cutter,
    *,
    streams: Sequence[str] = features.STREAMS,
    augmentation: Mapping | None = None,
    spectrogram_augmentation: Mapping | None = None,
    caption_vectors: CaptionVectors | None = None,
  ):
    """Configures the steps.

    Args:
      cutter: chooses and cuts the clips.
      streams: visual features of the clips, or ('image',).
      augmentation: keyword arguments of `Augmentation`; None or empty: the
        stored spectrograms are used.
      spectrogram_augmentation: those of `SpectrogramAugmentation`, of each
        clip.
      caption_vectors: makes the words of a caption; None: clips have no words.
    """
    self._cutter = cutter
    self._streams = tuple(streams)
    self._augmentation = Augmentation(**augmentation) if augmentation else None
    self._of_clips = (
      SpectrogramAugmentation(**spectrogram_augmentation)
      if spectrogram_augmentation
      else None
    )
    self._caption_vectors = caption_vectors
    has_image = self._streams == features.IMAGE
    self.num_clips = cutter.num_clips
    self.needs = Needs(
      waveform=self._augmentation is not None,
      picture=has_image,
      captions=cutter.needs_captions,
      centre=cutter.visual_pooling == 'centre',
    )
    self.dtypes: dict[str, type] = {
      'spectrogram': np.float32,
      'num_frames': np.int32,
      'id': str,
    }
    self.dtypes |= {'image': np.uint8} if has_image else {'visual': np.float32}
    self.dtypes |= {'words': np.float32} if caption_vectors else {}
    self.dtypes |= {'candidates': np.int32} if cutter.candidates > 1 else {}

  def __call__(self, example: dict, rng: np.random.Generator) -> Iterator[dict]:
    """Yields the clips of an example, rows of a batch; see `schema`.

    Args:
      example: fulfils `needs`.
      rng: derived from (seed, epoch, index) in training.
    """
    if self._augmentation:
      spectrogram = augmented_spectrogram(
        example['waveform'], self._augmentation, rng
      )
      example = example | {'spectrogram': spectrogram}
    example = clips.choose_streams(example, self._streams)
    for clip in self._cutter(example, rng):
      caption = clip.pop('caption')
      if self._caption_vectors:
        clip['words'] = self._caption_vectors(caption)
      sound = self._augmented(clip, rng)
      yield clip | sound | {'id': example['id'].decode()}

  def training_clips(
    self, example: dict, seed: int, epoch: int, index: int
  ) -> Iterator[dict]:
    """Yields the clips of an example in an epoch of a training.

    Args:
      example: fulfils `needs`.
      seed: of the training.
      epoch: counted from 0.
      index: of the record; that of a bad one for its substitute.
    """
    return self(example, np.random.default_rng((seed, epoch, index)))

  def _augmented(self, clip: dict, rng: np.random.Generator) -> dict:
    """The sound of a clip, augmented and padded again; {}: it stays."""
    padded, count = clip['spectrogram'], int(clip['num_frames'])
    if not self._of_clips or not count:
      return {}
    rows = self._of_clips(padded[:count], rng)
    return {
      'spectrogram': clips.pad_or_crop(rows, len(padded)),
      'num_frames': np.int32(len(rows)),
    }

  def visual_width(self, example: dict) -> int | None:
    """V, the width of `visual`; None if the clips have images instead."""
    if self.needs.picture:
      return None
    return len(clips.pool_visual(clips.choose_streams(example, self._streams)))
