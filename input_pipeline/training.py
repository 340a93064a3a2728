"""Batches of training clips; see the package for what is in them."""

import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from input_pipeline import examples, preprocess
from input_pipeline.augment import Augmentation
from input_pipeline.bad_records import DataError
from input_pipeline.examples import NO_WORDS, Batch
from input_pipeline.order import Order
from input_pipeline.records import Records


class TrainBatches:
  """Endless batches of training clips, addressed by step.

  Attributes:
    fingerprint: of the records read, and of the word vectors.
    visual_width: V of the batches.
  """

  def __init__(
    self,
    *,
    datasets: Sequence[str],
    split: str,
    batch_size: int,
    clips_per_example: int,
    num_frames: int,
    augmentation: Mapping,
    distinct_groups: bool,
    seed: int,
    words: Mapping = NO_WORDS,
    min_time: float = 0.0,
    word_order: str = 'time',
    data_dir: str = '',
  ):
    """Opens the records.

    Args:
      datasets: names of prepared data sets, 'stamps/narrated_fr'.
      split: of all of them, with TFDS' slicing.
      batch_size: examples (videos) in a batch, of which N is a multiple.
      clips_per_example: windows cut from each untrimmed video; 0: the whole
        recording is one clip.
      num_frames: T, 100 a second.
      augmentation: keyword arguments of `augment.Augmentation`, applied to
        the waveform; empty: the stored spectrogram is used as it is.
      distinct_groups: no two examples of a group (of one caption, picture or
        recording) in one batch, where they would be their own negatives.
      seed: of order, windows, augmentation and captions.
      words: keyword arguments of `captions.Captions`; with vectors='' the
        batches have no words. A whole recording has those of one of its
        captions, a window those of the captions it is around.
      min_time: windows are around random captions, at least this many seconds
        long; 0: they are anywhere. See `preprocess.caption_clip`.
      word_order: of captions that are joined, see there.
      data_dir: where the records are; '': TFDS' default.

    Raises:
      DataError: the records are missing or fewer than a batch, or words are
        asked for of windows anywhere.
      WordsError: there are no such word vectors.
    """
    if words['vectors'] and clips_per_example and not min_time:
      raise DataError(
        'windows anywhere cut through what is said and have no words: set '
        'train_data.min_time to the seconds of a clip for windows around '
        "captions, or words.vectors=''"
      )
    self._records = Records(datasets, (split,), data_dir)
    self._captions = examples.open_captions(datasets, data_dir, words)
    self.fingerprint = examples.fingerprint(self._records, self._captions)
    groups = self._records.column('group') if distinct_groups else None
    self._order = Order(len(self._records), batch_size, groups, seed)
    self._augmentation = Augmentation(**augmentation) if augmentation else None
    self._clips, self._num_frames = clips_per_example, num_frames
    self._seed = seed
    self._min_time, self._word_order = min_time, word_order
    self.visual_width = len(preprocess.pool_visual(self._records.read([0])[0]))

  def batch(self, step: int) -> Batch:
    """The batch of a step, counted from 0."""
    epoch, indices = self._order.batch(step)
    clips = [
      clip
      for index, example in zip(
        indices, self._records.read(indices), strict=True
      )
      for clip in self._clips_of(
        example, np.random.default_rng((self._seed, epoch, int(index)))
      )
    ]
    return {key: np.stack([clip[key] for clip in clips]) for key in clips[0]}

  def _clips_of(self, example: dict, rng: np.random.Generator) -> list[dict]:
    if self._augmentation:
      example = example | {
        'spectrogram': examples.changed(example, self._augmentation, rng)
      }
    if not self._clips:
      clips = [self._whole(example, rng)]
    elif self._min_time:
      clips = self._around_captions(example, rng)
    else:
      clips = self._anywhere(example, rng)
    identity = {'id': example['id'].decode()}
    return [self._in_words(clip) | identity for clip in clips]

  def _whole(self, example: dict, rng: np.random.Generator) -> dict:
    clip = preprocess.whole_clip(example, self._num_frames)
    if self._captions:
      clip['caption'] = preprocess.draw_caption(example, rng)
    return clip

  def _anywhere(self, example: dict, rng: np.random.Generator) -> list[dict]:
    starts = preprocess.random_starts(
      len(example['spectrogram']), self._num_frames, self._clips, rng
    )
    return [
      preprocess.cut_clip(example, start, self._num_frames) for start in starts
    ]

  def _around_captions(
    self, example: dict, rng: np.random.Generator
  ) -> list[dict]:
    if not len(example.get('captions', ())):
      raise DataError(
        f'{example["id"].decode()} has no captions to cut windows around; '
        'choose train_data.min_time=0 for random windows'
      )
    return [
      preprocess.caption_clip(
        example,
        index,
        num_frames=self._num_frames,
        min_time=self._min_time,
        order=self._word_order,
      )
      for index in rng.integers(len(example['captions']), size=self._clips)
    ]

  def _in_words(self, clip: dict) -> dict:
    """The clip with vectors, if asked for, in place of its caption."""
    caption = clip.pop('caption', '')
    if self._captions:
      clip['words'] = self._captions(caption)
    return clip

  def from_step(self, first: int, last: int) -> Iterator[Batch]:
    """Batches of steps `first` to `last` - 1, made ahead by other threads."""
    types = {
      'spectrogram': tf.float32,
      'num_frames': tf.int32,
      'visual': tf.float32,
      'id': tf.string,
    }
    if self._captions:
      types['words'] = tf.float32

    def make(step: np.ndarray) -> list[np.ndarray]:
      batch = self.batch(int(step))
      # TensorFlow takes text beyond ASCII as bytes alone.
      names = np.array([name.encode() for name in batch['id']], object)
      return [(batch | {'id': names})[key] for key in types]

    def load(step: tf.Tensor) -> dict[str, tf.Tensor]:
      arrays = tf.numpy_function(
        make, [step], list(types.values()), stateful=False
      )
      return dict(zip(types, arrays, strict=True))

    batches = tf.data.Dataset.range(first, last).map(
      load, num_parallel_calls=os.cpu_count(), deterministic=True
    )
    for batch in batches.prefetch(4).as_numpy_iterator():
      yield batch | {'id': np.array([name.decode() for name in batch['id']])}
