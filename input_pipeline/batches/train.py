"""Batches of training clips, addressed by step.

  batches = train_batches(
    datasets=('stamps/narrated_fr',),
    split='train',
    batch_size=128,
    clips_per_example=0,
    num_frames=192,
    augmentation={},
    distinct_groups=True,
    seed=0,
  )
  for batch in batches.from_step(0, 800):
    print(batch['spectrogram'].shape)

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
  host: (index, count) of this process. A batch holds its share of the step's
    examples; the shares of all hosts, in order, are the whole batch.
"""

import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from avl_jax import features
from input_pipeline.batches import collate
from input_pipeline.batches.prefetch import prefetch
from input_pipeline.batches.sampler import BatchSampler
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
    clip_sampler: ClipSampler,
    bad_records: BadRecords,
    *,
    fingerprint: str,
    seed: int,
    permuted_sound: bool,
    host: tuple[int, int],
  ):
    """Reads the first usable record; see `train_batches` for the arguments."""
    self._records = records
    self._batch_sampler = batch_sampler
    self._clip_sampler = clip_sampler
    self.bad_records = bad_records
    self.fingerprint = fingerprint
    self.networks = records.networks
    self._seed, self._permuted_sound = seed, permuted_sound
    self._host, self._num_hosts = host
    example = self._first_usable(range(len(records)))
    self.visual_width = clip_sampler.visual_width(example)

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
      DataError: more bad records were found than are tolerated.
    """
    epoch, indices = self._batch_sampler.batch(step)
    own = np.split(indices, self._num_hosts)[self._host].tolist()

    def clips() -> Iterator[dict]:
      found = self._records.read_checked(own, self._clip_sampler.needs)
      for index, result in zip(own, found, strict=True):
        if isinstance(result, BadRecordError):
          self.bad_records.add(result)
          substitutes = self._batch_sampler.substitutes(step, index)
          example = self._first_usable(substitutes.tolist())
        else:
          example = result
        rng = np.random.default_rng((self._seed, epoch, index))
        yield from self._clip_sampler(example, rng)

    batch = collate.stack(clips(), len(own) * self._clip_sampler.num_clips)
    if self._permuted_sound:
      rng = np.random.default_rng((self._seed, step, self._host))
      places = rng.permutation(len(batch['num_frames']))
      batch |= {k: batch[k][places] for k in ('spectrogram', 'num_frames')}
    return batch

  def from_step(self, first: int, last: int) -> Iterator[Batch]:
    """Yields the batches of steps `first` to `last` - 1, prefetched."""
    return prefetch(self.batch, self._clip_sampler.dtypes, first, last)


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
  data_dir: str = '',
  max_bad_records: int = 100,
  bad_records_file: str | os.PathLike | None = None,
  host: tuple[int, int] = (0, 1),
) -> TrainBatches:
  """Opens the batches of a training; the module lists the arguments.

  Raises:
    DataError: the data or the arguments cannot make batches.
    WordsError: there are no such word vectors.
  """
  collate.check_shares(batch_size, host[1])
  collate.check_options(words, clips_per_example, min_time, streams)
  records = Records(datasets, (split,), data_dir)
  streams = collate.check_streams(streams, records)
  bad_records = BadRecords(
    _path_of_host(bad_records_file, host[0]), max_bad_records
  )
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
  return TrainBatches(
    records,
    BatchSampler(len(records), batch_size, groups, seed),
    ClipSampler(
      cutter,
      streams=streams,
      augmentation=augmentation,
      caption_vectors=vectors,
    ),
    bad_records,
    fingerprint=caption_vectors.data_fingerprint(records, vectors),
    seed=seed,
    permuted_sound=permuted_sound,
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


def _path_of_host(
  path: str | os.PathLike | None, host: int
) -> pathlib.Path | None:
  if path is None:
    return None
  path = pathlib.Path(path)
  return path.with_stem(f'{path.stem}_{host}') if host else path
