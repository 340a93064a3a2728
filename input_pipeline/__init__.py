"""Batches for training and evaluation; the contract between data and model.

A batch is a dict of numpy arrays, N = videos x clips on this host:
  spectrogram  float32 [N, T, 40]  log-mel in dB below the file's loudest cell,
                                   zero-padded
  num_frames   int32 [N]           frames that are not padding
  visual       float32 [N, V]      max-pooled over the clip, each stream
                                   L2-normalised, 2-D then 3-D
  id           str [N]             never sent to a device
Evaluation batches carry `subset` too, str [N]: the split an example is from.

What a step sees is a function of (seed, step) alone: never of the workers,
the time or the steps before.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace

import numpy as np
import tensorflow as tf
import tqdm

from avl_jax.features import audio, visual
from input_pipeline import preprocess
from input_pipeline.augment import Augmentation
from input_pipeline.order import Order
from input_pipeline.records import DataError, Records, prepare

__all__ = ['DataError', 'eval_batches', 'prepare', 'train_batches']

tf.config.set_visible_devices([], 'GPU')  # They belong to JAX.

Batch = dict[str, np.ndarray]


class TrainBatches:
  """Endless batches of training clips, addressed by step.

  Attributes:
    fingerprint: of the records read.
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
      seed: of order, windows and augmentation.
      min_time: windows are around random captions, at least this many seconds
        long; 0: they are anywhere. See `preprocess.caption_clip`.
      word_order: of captions that are joined, see there.
      data_dir: where the records are; '': TFDS' default.

    Raises:
      DataError: the records are missing or fewer than a batch.
    """
    self._records = Records(datasets, (split,), data_dir)
    self.fingerprint = self._records.fingerprint
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
    identity = {'id': example['id'].decode()}
    if self._augmentation:
      waveform = audio.decode_flac(example['audio'])
      changed = self._augmentation.waveform(waveform, rng)
      example = example | {
        'spectrogram': self._augmentation.spectrogram(
          audio.log_mel_spectrogram(changed), rng
        )
      }
    if not self._clips:
      return [preprocess.whole_clip(example, self._num_frames) | identity]
    if self._min_time:
      return [clip | identity for clip in self._around_captions(example, rng)]
    starts = preprocess.random_starts(
      len(example['spectrogram']), self._num_frames, self._clips, rng
    )
    return [
      preprocess.cut_clip(example, start, self._num_frames) | identity
      for start in starts
    ]

  def _around_captions(self, example, rng) -> list[dict]:
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

  def from_step(self, first: int, last: int) -> Iterator[Batch]:
    """Batches of steps `first` to `last` - 1, made ahead by other threads."""
    types = {
      'spectrogram': tf.float32,
      'num_frames': tf.int32,
      'visual': tf.float32,
      'id': tf.string,
    }

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


train_batches = TrainBatches


class EvalBatches:
  """The examples of an evaluation, each exactly once, in batches; re-iterable.

  Attributes:
    fingerprint: of the records read.
    subsets: str [N], the split that each example is from.
    num_queries: of the data set's definition, or 0.
  """

  def __init__(
    self,
    datasets,
    splits,
    *,
    num_queries=0,
    batch_size,
    num_frames,
    data_dir,
    name,
  ):
    self.num_queries = num_queries
    self._records = Records(datasets, splits, data_dir)
    self.fingerprint = self._records.fingerprint
    self.subsets = self._records.labels
    self._batch_size, self._num_frames = batch_size, num_frames
    self._name = name

  def __iter__(self) -> Iterator[Batch]:
    size = self._batch_size
    for start in tqdm.trange(
      0, len(self._records), size, desc=f'evaluate {self._name}', leave=False
    ):
      indices = range(start, min(start + size, len(self._records)))
      clips = [
        preprocess.whole_clip(example, self._num_frames)
        | {'id': example['id'].decode(), 'subset': self.subsets[index]}
        for index, example in zip(
          indices, self._records.read(indices), strict=True
        )
      ]
      yield {key: np.stack([clip[key] for clip in clips]) for key in clips[0]}

  @property
  def has_media(self) -> bool:
    """Whether the records hold pictures and recordings to show."""
    return {'image', 'audio'} <= set(self._records.read([0])[0])

  @property
  def media(self) -> Sequence[SimpleNamespace]:
    """What an example looks and sounds like, read when asked for.

    Each has id, caption, image uint8 [H, W, 3] and waveform float32 [samples].
    """
    return _Media(self._records)


class _Media(Sequence):
  def __init__(self, records: Records):
    self._records = records

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> SimpleNamespace:
    example = self._records.read([index])[0]
    return SimpleNamespace(
      id=example['id'].decode(),
      caption=example['captions'][0].decode(),
      image=visual.read_image(example['image']),
      waveform=audio.decode_flac(example['audio']),
    )


def eval_batches(
  *,
  evaluations: Mapping[str, Mapping],
  batch_size: int,
  num_frames: int,
  data_dir: str = '',
) -> dict[str, EvalBatches]:
  """Opens the records of each evaluation.

  Args:
    evaluations: name -> {'datasets', 'splits', 'num_queries'}; all examples of
      all splits are one gallery.
    batch_size: examples in a batch; the last may be smaller.
    num_frames: T, 100 a second; longer recordings are cropped.
    data_dir: where the records are; '': TFDS' default.

  Returns:
    name -> its batches.

  Raises:
    DataError: records are missing.
  """
  return {
    name: EvalBatches(
      **evaluation,
      batch_size=batch_size,
      num_frames=num_frames,
      data_dir=data_dir,
      name=name,
    )
    for name, evaluation in evaluations.items()
  }
