"""Batches of training clips; see the package for what is in them."""

import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from avl_jax import features
from avl_jax.backbones import resnet
from avl_jax.features import clips as clip_features
from input_pipeline.batches import collate
from input_pipeline.batches.collate import NO_WORDS, Batch
from input_pipeline.batches.prefetch import ahead
from input_pipeline.batches.sampler import Order
from input_pipeline.records.bad_records import (
  BadRecordError,
  BadRecords,
  DataError,
)
from input_pipeline.records.reader import Records
from input_pipeline.transforms.clip_sampler import Windows


class TrainBatches:
  """Endless batches of training clips, addressed by step.

  Attributes:
    fingerprint: of the records read, and of the word vectors.
    visual_width: V of the batches; of pictures, that of `resnet.ResNet`.
    bad_records: those that were met, see `bad_records.BadRecords`.
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
    streams: Sequence[str] = features.STREAMS,
    data_dir: str = '',
    max_bad_records: int = 100,
    bad_records_file: str | os.PathLike | None = None,
    host: tuple[int, int] = (0, 1),
  ):
    """Opens the records.

    A record that cannot be used (see `bad_records`) is replaced by another, a
    function of (seed, epoch, index) too; its clips are cut as that one's.

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
      streams: what is seen: the features ('visual_2d', 'visual_3d') that the
        records have, some of them, or ('image',): the batches then have the
        pictures themselves, for an image encoder in the loop.
      data_dir: where the records are; '': TFDS' default.
      max_bad_records: how many different ones may be met.
      bad_records_file: where they are listed, for later runs to count on;
        None: nowhere. Other hosts than the first put their number behind it.
      host: (index, count) of this process; the batches hold its share of a
        step's examples, the shares one after another the whole.

    Raises:
      DataError: the records are missing or fewer than a batch, their files
        are damaged or too many of them bad, words are asked for of windows
        anywhere, pictures of windows, or hosts cannot share a batch.
      WordsError: there are no such word vectors.
    """
    if words['vectors'] and clips_per_example and not min_time:
      raise DataError(
        'windows anywhere cut through what is said and have no words: set '
        'train_data.min_time to the seconds of a clip for windows around '
        "captions, or words.vectors=''"
      )
    if tuple(streams) == features.IMAGE and clips_per_example:
      raise DataError(
        'a picture has no windows: set train_data.clips_per_example=0, or take '
        'features, train_data.streams'
      )
    self._host, self._hosts = host
    if batch_size % self._hosts:
      raise DataError(
        f'a batch of {batch_size} cannot be shared by {self._hosts} hosts: '
        'choose train_data.batch_size so that it can be divided by their number'
      )
    self._records = Records(datasets, (split,), data_dir)
    self._streams = collate.check_streams(streams, self._records)
    self.bad_records = BadRecords(
      _of_host(bad_records_file, self._host), max_bad_records
    )
    self._captions = collate.open_captions(datasets, data_dir, words)
    self.fingerprint = collate.fingerprint(self._records, self._captions)
    groups = self._groups() if distinct_groups else None
    self._order = Order(len(self._records), batch_size, groups, seed)
    self._seed = seed
    self._windows = Windows(
      self._captions,
      clips_per_example=clips_per_example,
      num_frames=num_frames,
      augmentation=augmentation,
      min_time=min_time,
      word_order=word_order,
      streams=self._streams,
    )
    first = self._first_good(range(len(self._records)))
    self.visual_width = _visual_width(first, self._streams)

  def _groups(self) -> list[bytes]:
    """The group of each record, a new one where it cannot be read."""
    groups = []
    for index, example in enumerate(self._records.scan()):
      if isinstance(example, BadRecordError):
        self.bad_records.add(example)
        groups.append(f'bad record {index}'.encode())
      else:
        groups.append(example['group'])
    return groups

  def _first_good(self, indices: Iterable[int]) -> dict:
    """The example of the first record that is not bad; those are counted."""
    for index in indices:
      (example,) = self._attempt([index])
      if not isinstance(example, BadRecordError):
        return example
      self.bad_records.add(example)
    raise DataError(f'no record can be used: {self.bad_records.counts}')

  def _attempt(self, indices) -> Iterator[dict | BadRecordError]:
    return self._records.attempt(
      indices,
      with_waveform=self._windows.need_waveform,
      with_picture=self._streams == features.IMAGE,
      with_captions=self._windows.need_captions,
    )

  def batch(self, step: int) -> Batch:
    """The batch of a step, counted from 0.

    Raises:
      DataError: there have been more bad records than allowed.
    """
    epoch, indices = self._order.batch(step)
    share = np.split(indices, self._hosts)[self._host].tolist()

    def clips() -> Iterator[dict]:
      for index, found in zip(share, self._attempt(share), strict=True):
        example = found
        if isinstance(found, BadRecordError):
          self.bad_records.add(found)
          example = self._first_good(self._order.substitutes(step, index))
        rng = np.random.default_rng((self._seed, epoch, index))
        yield from self._windows(example, rng)

    return collate.stack(clips(), len(share) * self._windows.clips)

  def from_step(self, first: int, last: int) -> Iterator[Batch]:
    """Batches of steps `first` to `last` - 1, made ahead by other threads."""
    types = {
      'spectrogram': tf.float32,
      'num_frames': tf.int32,
      'id': tf.string,
    }
    if self._streams == features.IMAGE:
      types['image'] = tf.uint8
    else:
      types['visual'] = tf.float32
    if self._captions:
      types['words'] = tf.float32
    return ahead(self.batch, types, first, last)


def _visual_width(example: dict, streams: Sequence[str]) -> int:
  if 'picture' in example:
    return resnet.WIDTH
  return len(
    clip_features.pool_visual(clip_features.choose_streams(example, streams))
  )


def _of_host(path: str | os.PathLike | None, host: int) -> pathlib.Path | None:
  if path is None or not host:
    return path
  path = pathlib.Path(path)
  return path.with_stem(f'{path.stem}_{host}')
