"""Batches for training and evaluation; the contract between data and model.

A batch is a dict of numpy arrays, N = videos x clips on this host:
  spectrogram  float32 [N, T, 40]  log-mel in dB below the file's loudest cell,
                                   zero-padded
  num_frames   int32 [N]           frames that are not padding
  visual       float32 [N, V]      max-pooled over the clip, each stream
                                   L2-normalised, 2-D then 3-D
  words        float32 [N, W, E]   vectors of the caption's words, zero-padded;
                                   where word vectors are asked for
  id           str [N]             never sent to a device
Evaluation batches carry `subset` too, str [N]: the split an example is from.

What a step sees is a function of (seed, step) alone: never of the workers,
the time or the steps before.
"""

import hashlib
import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType, SimpleNamespace

import numpy as np
import tensorflow as tf
import tqdm

from avl_jax.features import audio, visual
from input_pipeline import preprocess
from input_pipeline.augment import Augmentation
from input_pipeline.captions import Captions
from input_pipeline.order import Order
from input_pipeline.records import DataError, Records, prepare

__all__ = ['DataError', 'eval_batches', 'prepare', 'train_batches']

tf.config.set_visible_devices([], 'GPU')  # They belong to JAX.

Batch = dict[str, np.ndarray]
NO_WORDS = MappingProxyType({'vectors': ''})


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
    data_dir: str = '',
  ):
    """Opens the records.

    Args:
      datasets: names of prepared data sets, 'stamps/narrated_fr'.
      split: of all of them, with TFDS' slicing.
      batch_size: examples (videos) in a batch, of which N is a multiple.
      clips_per_example: random windows cut from each untrimmed video; 0: the
        whole recording is one clip.
      num_frames: T, 100 a second.
      augmentation: keyword arguments of `augment.Augmentation`, applied to
        the waveform; empty: the stored spectrogram is used as it is.
      distinct_groups: no two examples of a group (of one caption, picture or
        recording) in one batch, where they would be their own negatives.
      seed: of order, windows, augmentation and captions.
      words: keyword arguments of `captions.Captions`; with vectors='' the
        batches have no words.
      data_dir: where the records are; '': TFDS' default.

    Raises:
      DataError: the records are missing or fewer than a batch.
      WordsError: there are no such word vectors.
    """
    self._records = Records(datasets, (split,), data_dir)
    self._captions = _open_captions(datasets, data_dir, words)
    self.fingerprint = _fingerprint(self._records, self._captions)
    groups = self._records.column('group') if distinct_groups else None
    self._order = Order(len(self._records), batch_size, groups, seed)
    self._augmentation = Augmentation(**augmentation) if augmentation else None
    self._clips, self._num_frames = clips_per_example, num_frames
    self._seed = seed
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
      example = example | {
        'spectrogram': _changed(example, self._augmentation, rng)
      }
    if not self._clips:
      clip = preprocess.whole_clip(example, self._num_frames) | identity
      if self._captions:
        clip['words'] = self._captions(preprocess.draw_caption(example, rng))
      return [clip]
    starts = preprocess.random_starts(
      len(example['spectrogram']), self._num_frames, self._clips, rng
    )
    return [
      preprocess.cut_clip(example, start, self._num_frames) | identity
      for start in starts
    ]

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


train_batches = TrainBatches


def _changed(
  example: dict, augmentation: Augmentation, rng: np.random.Generator
) -> np.ndarray:
  """float32 [T, 40], the augmented spectrogram of the example's recording."""
  waveform = audio.decode_flac(example['audio'])
  changed = augmentation.waveform(waveform, rng)
  return augmentation.spectrogram(audio.log_mel_spectrogram(changed), rng)


def _open_captions(datasets, data_dir: str, words: Mapping) -> Captions | None:
  return Captions(datasets, data_dir, **words) if words['vectors'] else None


def _fingerprint(records: Records, captions: Captions | None) -> str:
  if not captions:
    return records.fingerprint
  facts = f'{records.fingerprint} {captions.fingerprint}'
  return hashlib.sha256(facts.encode()).hexdigest()[:16]


class EvalBatches:
  """The examples of an evaluation, each exactly once, in batches; re-iterable.

  Attributes:
    fingerprint: of the records read, and of the word vectors.
    subsets: str [N], the split that each example is from.
    num_queries: of the data set's definition, or 0.
  """

  def __init__(
    self,
    datasets,
    splits,
    *,
    num_queries=0,
    groups_of=None,
    augmentation=MappingProxyType({}),
    batch_size,
    num_frames,
    words,
    data_dir,
    name,
  ):
    self.num_queries = num_queries
    self._records = Records(datasets, splits, data_dir)
    self._augmentation = Augmentation(**augmentation) if augmentation else None
    self._captions = _open_captions(datasets, data_dir, words)
    self.fingerprint = _fingerprint(self._records, self._captions)
    self._indices = np.arange(len(self._records))
    if groups_of:
      others = Records(**groups_of, data_dir=data_dir)
      self._indices = _shared(self._records, others)
    self.subsets = self._records.labels[self._indices]
    self._batch_size, self._num_frames = batch_size, num_frames
    self._name = name

  def __iter__(self) -> Iterator[Batch]:
    size = self._batch_size
    for start in tqdm.trange(
      0, len(self._indices), size, desc=f'evaluate {self._name}', leave=False
    ):
      chosen = slice(start, start + size)
      examples = self._records.read(self._indices[chosen])
      clips = [
        self._clip(int(index), example) | {'subset': subset}
        for index, subset, example in zip(
          self._indices[chosen], self.subsets[chosen], examples, strict=True
        )
      ]
      yield {key: np.stack([clip[key] for clip in clips]) for key in clips[0]}

  def _clip(self, index: int, example: dict) -> dict:
    if self._augmentation:
      rng = np.random.default_rng(index)  # The same at each evaluation.
      example = example | {
        'spectrogram': _changed(example, self._augmentation, rng)
      }
    clip = preprocess.whole_clip(example, self._num_frames)
    clip['id'] = example['id'].decode()
    if self._captions:
      clip['words'] = self._captions(preprocess.fixed_caption(example))
    return clip

  @property
  def has_media(self) -> bool:
    """Whether the records hold pictures and recordings to show."""
    return {'image', 'audio'} <= set(self._records.read(self._indices[:1])[0])

  @property
  def media(self) -> Sequence[SimpleNamespace]:
    """What an example looks and sounds like, read when asked for.

    Each has id, caption, image uint8 [H, W, 3] and waveform float32 [samples].
    """
    return _Media(self._records, self._indices)


def _shared(records: Records, others: Records) -> np.ndarray:
  """Index of the first record of each group that `others` have too."""
  groups, first = np.unique(records.column('group'), return_index=True)
  chosen = np.sort(first[np.isin(groups, np.unique(others.column('group')))])
  if not len(chosen):
    raise DataError('an evaluation has no group in common with its groups_of')
  return chosen


class _Media(Sequence):
  def __init__(self, records: Records, indices: np.ndarray):
    self._records, self._indices = records, indices

  def __len__(self) -> int:
    return len(self._indices)

  def __getitem__(self, index: int) -> SimpleNamespace:
    example = self._records.read([self._indices[index]])[0]
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
  words: Mapping = NO_WORDS,
  data_dir: str = '',
) -> dict[str, EvalBatches]:
  """Opens the records of each evaluation.

  Args:
    evaluations: name -> {'datasets', 'splits', 'num_queries', 'groups_of',
      'augmentation'}; all examples of all splits are one gallery. `groups_of`,
      of other 'datasets' and 'splits': only groups that these have too, one
      example each, so that both make galleries of one size. `augmentation`,
      keyword arguments of `augment.Augmentation`: changes the recordings,
      always in the same way.
    batch_size: examples in a batch; the last may be smaller.
    num_frames: T, 100 a second; longer recordings are cropped.
    words: as in training.
    data_dir: where the records are; '': TFDS' default.

  Returns:
    name -> its batches.

  Raises:
    DataError: records are missing, or none has a group of `groups_of`.
  """
  return {
    name: EvalBatches(
      **evaluation,
      batch_size=batch_size,
      num_frames=num_frames,
      words=words,
      data_dir=data_dir,
      name=name,
    )
    for name, evaluation in evaluations.items()
  }
