"""Batches of evaluation examples."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import tqdm

from avl_jax import features
from avl_jax.features.media import Media
from input_pipeline.batches import collate
from input_pipeline.batches.media_reader import MediaReader
from input_pipeline.records.bad_records import DataError, raise_if_bad
from input_pipeline.records.reader import Records
from input_pipeline.schema import NO_WORDS, Batch
from input_pipeline.transforms import caption_vectors
from input_pipeline.transforms.clip_sampler import ClipSampler
from input_pipeline.transforms.cutters import FixedClip

_NOTHING = MappingProxyType({})


class EvalBatches:
  """The examples of an evaluation, each exactly once, in batches; re-iterable.

  Every host iterates over the same number of examples; the hosts' shares, in
  order, are the whole gallery. If the examples do not divide evenly, the last
  host repeats the last example. A bad record raises DataError: replacing it
  would change the gallery.

  Attributes:
    num_examples: N, of all hosts, without repetitions. The other attributes
      are of all hosts, too.
    fingerprint: of the records, and of the word vectors if there are any.
    networks: see `reader.Records`.
    subsets: str [N], the split of each example.
    num_queries: number of queries in the data set's definition, or 0.
  """

  def __init__(
    self,
    records: Records,
    indices: np.ndarray,
    clip_sampler: ClipSampler,
    *,
    name: str,
    batch_size: int,
    num_queries: int,
    fingerprint: str,
    host: tuple[int, int],
  ):
    """Takes the records, and int [N] indices of those in the gallery."""
    self._records = records
    self._indices = indices
    self._clip_sampler = clip_sampler
    self._name = name
    self._batch_size = batch_size
    self.num_queries = num_queries
    self.fingerprint = fingerprint
    self.networks = records.networks
    self.num_examples = len(indices)
    self.subsets = records.labels[indices]
    self._own = _own_places(self.num_examples, *host)

  def __iter__(self) -> Iterator[Batch]:
    title, size = f'evaluate {self._name}', self._batch_size
    for start in tqdm.trange(0, len(self._own), size, desc=title, leave=False):
      places = self._own[start : start + size]
      clips = self._clips(self._indices[places].tolist())
      yield collate.stack(clips, len(places)) | {'subset': self.subsets[places]}

  def _clips(self, indices: list[int]) -> Iterator[dict]:
    found = self._records.read_checked(indices, self._clip_sampler.needs)
    for index, example in zip(indices, found, strict=True):
      # The augmentation of an example is the same in every evaluation.
      rng = np.random.default_rng(index)
      yield from self._clip_sampler(raise_if_bad(example), rng)

  @property
  def num_videos(self) -> int:
    """Number of videos that the clips are from; 0: they are no clips."""
    return self._records.num_videos(self._indices)

  @property
  def has_media(self) -> bool:
    """Whether the records hold pictures and recordings to show."""
    return {'image', 'audio'} <= set(
      self._records.read([int(self._indices[0])])[0]
    )

  @property
  def media(self) -> Sequence[Media]:
    """Caption, image and recording of each example, read when accessed."""
    return MediaReader(self._records, self._indices)


def eval_batches(
  *,
  evaluations: Mapping[str, Mapping],
  batch_size: int,
  num_frames: int,
  words: Mapping = NO_WORDS,
  streams: Sequence[str] = features.STREAMS,
  visual_pooling: str = 'max',
  data_dir: str = '',
  host: tuple[int, int] = (0, 1),
) -> dict[str, EvalBatches]:
  """Opens the batches of each evaluation.

  Example:
    human = {'datasets': ('stamps/human_fr',), 'splits': ('test',)}
    batches = eval_batches(
      evaluations={'human': human}, batch_size=64, num_frames=512
    )['human']

  Args:
    evaluations: name -> keyword arguments of `open_evaluation`. A
      `num_frames` among them overrides the common one.
    batch_size: examples in a batch; the last batch may be smaller.
    num_frames: T, 100 a second; longer recordings are cropped.
    words: as in training.
    streams: as in training.
    visual_pooling: as in training.
    data_dir: folder of the records; '': TFDS' default.
    host: (index, count) of this process; see `EvalBatches`.

  Returns:
    name -> its batches.

  Raises:
    DataError: records are missing, their files are damaged, no record has a
      group of `groups_of`, or the records do not have the streams.
  """
  common: dict[str, Any] = {'num_frames': num_frames}
  return {
    name: open_evaluation(
      **{**common, **evaluation},
      name=name,
      batch_size=batch_size,
      words=words,
      streams=streams,
      visual_pooling=visual_pooling,
      data_dir=data_dir,
      host=host,
    )
    for name, evaluation in evaluations.items()
  }


def open_evaluation(
  datasets: Sequence[str],
  splits: Sequence[str],
  *,
  num_queries: int = 0,
  groups_of: Mapping | None = None,
  augmentation: Mapping = _NOTHING,
  num_frames: int,
  name: str,
  batch_size: int,
  words: Mapping,
  streams: Sequence[str],
  visual_pooling: str,
  data_dir: str,
  host: tuple[int, int],
) -> EvalBatches:
  """Opens the batches of one evaluation; all its examples are one gallery.

  Args:
    datasets: names of prepared data sets.
    splits: of each of them.
    num_queries: number of queries in the data set's definition; 0: as many as
      examples.
    groups_of: other 'datasets' and 'splits'. The gallery has one example of
      each group that these have too: the galleries of both are of one size.
    augmentation: keyword arguments of `audio_augmentation.Augmentation`;
      changes each recording in the same way at every evaluation.
    num_frames: T, 100 a second.
    name: of the evaluation.
    batch_size: see `eval_batches`, like all that follow.
    words: likewise.
    streams: likewise.
    visual_pooling: likewise.
    data_dir: likewise.
    host: likewise.

  Raises:
    DataError: see `eval_batches`.
  """
  records = Records(datasets, splits, data_dir)
  vectors = caption_vectors.open_caption_vectors(datasets, data_dir, words)
  indices = np.arange(len(records))
  if groups_of:
    indices = _shared_groups(records, Records(**groups_of, data_dir=data_dir))
  clip_sampler = ClipSampler(
    FixedClip(num_frames, visual_pooling=visual_pooling),
    streams=collate.check_streams(streams, records),
    augmentation=augmentation,
    caption_vectors=vectors,
  )
  return EvalBatches(
    records,
    indices,
    clip_sampler,
    name=name,
    batch_size=batch_size,
    num_queries=num_queries,
    fingerprint=caption_vectors.data_fingerprint(records, vectors),
    host=host,
  )


def _own_places(num_examples: int, host: int, num_hosts: int) -> np.ndarray:
  """Places in the gallery of a host's share: int [ceil(N / num_hosts)]."""
  each = -(-num_examples // num_hosts)
  return np.minimum(np.arange(host * each, (host + 1) * each), num_examples - 1)


def _shared_groups(records: Records, others: Records) -> np.ndarray:
  """Index of the first record of each group that `others` have too."""
  groups, first = np.unique(records.column('group'), return_index=True)
  chosen = np.sort(first[np.isin(groups, np.unique(others.column('group')))])
  if not len(chosen):
    raise DataError(
      'An evaluation has no group in common with its groups_of. Choose data '
      'sets and splits with recordings of the same captions.'
    )
  return chosen
