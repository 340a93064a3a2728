"""Batches of training clips, addressed by step.

Example:
  config = read_config('configs/stamps.py')  # of avl_jax.config
  batches = train_batches(**config.train_data, seed=0, words=config.words)
  for batch in batches.from_step(0, 800):
    print(batch['spectrogram'].shape)  # (N, T, 40)

A record that cannot be used (see `bad_records`) is replaced by another one,
which is a function of (seed, epoch, index), too; its clips are cut with the
random numbers of the bad one.

Arguments of `train_batches`, most of them keys of config.train_data:
  datasets: names of prepared data sets, 'stamps/narrated_fr'.
  split: of all of them, with TFDS' slicing.
  batch_size: examples (videos) in a batch; N is a multiple of it.
  clips_per_example: windows cut from each untrimmed video; 0: the whole
    recording is one clip.
  candidates: K, how many windows in a row are the candidates of the first of
    them: itself and the nearest ones of its video that do not overlap. It
    divides clips_per_example. 1: each window has itself.
  num_frames: T, 100 a second.
  augmentation: keyword arguments of `audio_augmentation.Augmentation`,
    applied to the waveform; empty: the stored spectrogram is used.
  spectrogram_augmentation: those of `SpectrogramAugmentation`, of each clip.
  distinct_groups: never two examples of a group (of one caption, picture or
    recording) in a batch, where they would be their own negatives.
  seed: of the order, the windows, the augmentation and the captions.
  words: keyword arguments of `caption_vectors.CaptionVectors`; with vectors=''
    the batches have no words. A whole recording has the words of one of its
    captions, a window those of the captions that it is around.
  min_time: seconds; windows are cut around random captions and last at least
    as long. 0: windows are cut anywhere. See `caption_windows`.
  word_order: of joined captions, see `caption_windows.caption_clip`.
  streams: visual features of the batches, some of ('visual_2d', 'visual_3d');
    or ('image',) for batches of images.
  visual_pooling: of a clip's features, see `clips.pool_visual`.
  permuted_sound: the sounds of a batch change places, as a control: nothing
    can be learned from it.
  data_dir: folder of the records; '': TFDS' default.
  max_bad_records: how many different bad records are tolerated.
  bad_records_file: JSON list of the bad records, continued by resumed runs;
    None: none is saved. Other hosts than the first append their index to the
    name.
  processes: number of worker processes that make the batches; 0: threads make
    them. The batches are the same.
  host: (index, count) of this process. A batch holds its share of the step's
    examples; the shares of all hosts, in order, are the whole batch.
"""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from avl_jax import features
from input_pipeline.batches import collate
from input_pipeline.batches.prefetch import prefetch
from input_pipeline.batches.processes import Workers
from input_pipeline.batches.sampler import BatchSampler
from input_pipeline.batches.worker import Source
from input_pipeline.records.bad_records import (
  BadRecordError,
  BadRecords,
  DataError,
)
from input_pipeline.records.reader import Records
from input_pipeline.schema import NO_WORDS, Batch
from input_pipeline.transforms import caption_vectors
from input_pipeline.transforms.clip_sampler import ClipSampler
from input_pipeline.transforms.cutters import training_cutter


class TrainBatches:
  """Endless batches of training clips, addressed by step.

  Attributes:
    fingerprint: of the records, and of the word vectors if there are any.
    networks: of the records' features, see `reader.Records`.
    visual_width: V, the width of `visual`; None if the batches have images.
    bad_records: the bad records found so far, see `bad_records.BadRecords`.
  """

  def __init__(
    self,
    records: Records,
    batch_sampler: BatchSampler,
    source: Source,
    bad_records: BadRecords,
    *,
    fingerprint: str,
    permuted_sound: bool,
    processes: int,
    host: tuple[int, int],
  ):
    """Reads the first usable record; see `train_batches` for the arguments."""
    self._records = records
    self._batch_sampler = batch_sampler
    self._clip_sampler = source.clip_sampler
    self.bad_records = bad_records
    self.fingerprint = fingerprint
    self.networks = records.networks
    self._seed, self._permuted_sound = source.seed, permuted_sound
    self._host, self._num_hosts = host
    example = self._first_usable(range(len(records)))
    self.visual_width = self._clip_sampler.visual_width(example)
    self._workers = None
    if processes:
      clip = next(self._clip_sampler.training_clips(example, 0, 0, 0))
      self._workers = Workers(processes, source, clip)

  def _first_usable(self, indices: Iterable[int]) -> dict:
    """Returns the first example that is not bad; lists the bad ones before."""
    for index in indices:
      (example,) = self._records.read_checked([index], self._clip_sampler.needs)
      if not isinstance(example, BadRecordError):
        return example
      self.bad_records.add(example)
    raise DataError(
      f'No record can be used: {self.bad_records.counts}. Prepare the data set '
      'again, or choose another one (train_data.datasets).'
    )

  def batch(self, step: int) -> Batch:
    """Returns the batch of a step, counted from 0.

    Raises:
      UserError: too many records are bad, or see `Workers.make`.
    """
    epoch, indices = self._batch_sampler.batch(step)
    own = np.split(indices, self._num_hosts)[self._host].tolist()

    def clips(index: int, example: dict | BadRecordError) -> Iterator[dict]:
      if isinstance(example, BadRecordError):
        self.bad_records.add(example)
        substitutes = self._batch_sampler.substitutes(step, index)
        example = self._first_usable(substitutes.tolist())
      return self._clip_sampler.training_clips(
        example, self._seed, epoch, index
      )

    if self._workers:
      batch = self._workers.make(epoch, own, clips)
    else:
      found = self._records.read_checked(own, self._clip_sampler.needs)
      pairs = zip(own, found, strict=True)
      made = itertools.chain.from_iterable(itertools.starmap(clips, pairs))
      batch = collate.stack(made, len(own) * self._clip_sampler.num_clips)
    if self._permuted_sound:
      rng = np.random.default_rng((self._seed, step, self._host))
      places = rng.permutation(len(batch['num_frames']))
      batch |= {k: batch[k][places] for k in ('spectrogram', 'num_frames')}
    return batch

  def from_step(self, first: int, last: int) -> Iterator[Batch]:
    """Yields the batches of steps `first` to `last` - 1, prefetched."""
    at_once = self._workers.at_once if self._workers else os.cpu_count() or 1
    return prefetch(self.batch, self._clip_sampler.dtypes, first, last, at_once)

  def close(self) -> None:
    """Ends the worker processes, if there are any; no batch is made then."""
    if self._workers:
      self._workers.close()


def train_batches(
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
  candidates: int = 1,
  streams: Sequence[str] = features.STREAMS,
  visual_pooling: str = 'max',
  permuted_sound: bool = False,
  spectrogram_augmentation: Mapping | None = None,
  data_dir: str = '',
  max_bad_records: int = 100,
  bad_records_file: str | os.PathLike | None = None,
  processes: int = 0,
  host: tuple[int, int] = (0, 1),
) -> TrainBatches:
  """Opens batches of training; the module has the arguments and an example.

  Raises:
    UserError: the data or the arguments cannot make batches.
  """
  collate.check_shares(batch_size, host[1])
  collate.check_options(words, clips_per_example, min_time, streams)
  records = Records(datasets, (split,), data_dir)
  bad_records = BadRecords(bad_records_file, max_bad_records, host[0])
  vectors = caption_vectors.open_caption_vectors(datasets, data_dir, words)
  groups = _read_groups(records, bad_records) if distinct_groups else None
  cutter = training_cutter(
    clips_per_example=clips_per_example,
    num_frames=num_frames,
    min_time=min_time,
    word_order=word_order,
    candidates=candidates,
    visual_pooling=visual_pooling,
  )
  clip_sampler = ClipSampler(
    cutter,
    streams=collate.check_streams(streams, records),
    augmentation=augmentation,
    spectrogram_augmentation=spectrogram_augmentation,
    caption_vectors=vectors,
  )
  return TrainBatches(
    records,
    BatchSampler(len(records), batch_size, groups, seed),
    Source(datasets, split, data_dir, records.fingerprint, clip_sampler, seed),
    bad_records,
    fingerprint=caption_vectors.data_fingerprint(records, vectors),
    permuted_sound=permuted_sound,
    processes=processes,
    host=host,
  )


def _read_groups(records: Records, bad_records: BadRecords) -> list[bytes]:
  """The group of each record; a group of its own if it cannot be read."""
  groups = []
  for index, example in enumerate(records.scan()):
    if isinstance(example, BadRecordError):
      bad_records.add(example)
      groups.append(f'bad record {index}'.encode())
    else:
      groups.append(example['group'])
  return groups
