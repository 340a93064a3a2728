"""Batches of evaluation examples; see the package for what is in them."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import tqdm

from avl_jax import features
from avl_jax.features import audio, images
from avl_jax.features import clips as clip_features
from avl_jax.features.media import Media
from input_pipeline.batches import collate
from input_pipeline.batches.collate import NO_WORDS, Batch
from input_pipeline.records.bad_records import DataError, good
from input_pipeline.records.reader import Records
from input_pipeline.transforms import image_crops
from input_pipeline.transforms.audio_augmentation import Augmentation


class EvalBatches:
  """The examples of an evaluation, each exactly once, in batches; re-iterable.

  Several hosts iterate over equally many, one after another the whole; the last
  host repeats the last example where they do not come out even. A bad record
  is not replaced, which would change the gallery: it raises DataError.

  Attributes:
    num_examples: N, of all hosts, none twice; like the other attributes.
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
    streams,
    data_dir,
    host=(0, 1),
    name,
  ):
    self.num_queries = num_queries
    self._records = Records(datasets, splits, data_dir)
    self._augmentation = Augmentation(**augmentation) if augmentation else None
    self._captions = collate.open_captions(datasets, data_dir, words)
    self.fingerprint = collate.fingerprint(self._records, self._captions)
    self._indices = np.arange(len(self._records))
    if groups_of:
      others = Records(**groups_of, data_dir=data_dir)
      self._indices = _shared(self._records, others)
    self.num_examples = len(self._indices)
    self.subsets = self._records.labels[self._indices]
    self._share = _share(self.num_examples, *host)
    self._batch_size, self._num_frames = batch_size, num_frames
    self._streams = collate.check_streams(streams, self._records)
    self._name = name

  def __iter__(self) -> Iterator[Batch]:
    size = self._batch_size
    for start in tqdm.trange(
      0, len(self._share), size, desc=f'evaluate {self._name}', leave=False
    ):
      chosen = self._share[start : start + size]
      indices = self._indices[chosen].tolist()
      found = self._records.attempt(
        indices,
        with_waveform=self._augmentation is not None,
        with_picture=self._streams == features.IMAGE,
      )
      clips = (
        self._clip(index, good(example)) | {'subset': subset}
        for index, subset, example in zip(
          indices, self.subsets[chosen], found, strict=True
        )
      )
      yield collate.stack(clips, len(indices))

  def _clip(self, index: int, example: dict) -> dict:
    if self._augmentation:
      rng = np.random.default_rng(index)  # The same at each evaluation.
      example = example | {
        'spectrogram': collate.changed(example, self._augmentation, rng)
      }
    example = clip_features.choose_streams(example, self._streams)
    if 'picture' in example:
      example['picture'] = image_crops.centre_crop(example['picture'])
    clip = clip_features.whole_clip(example, self._num_frames)
    clip['id'] = example['id'].decode()
    if self._captions:
      clip['words'] = self._captions(clip_features.fixed_caption(example))
    return clip

  @property
  def has_media(self) -> bool:
    """Whether the records hold pictures and recordings to show."""
    return {'image', 'audio'} <= set(self._records.read(self._indices[:1])[0])

  @property
  def media(self) -> Sequence[Media]:
    """What an example looks and sounds like, read when asked for.

    Each has id, caption, image uint8 [H, W, 3] and waveform float32 [samples].
    """
    return _Media(self._records, self._indices)


def _share(num_examples: int, host: int, hosts: int) -> np.ndarray:
  """Which examples a host iterates over: int [ceil(num_examples / hosts)]."""
  each = -(-num_examples // hosts)
  return np.minimum(np.arange(host * each, (host + 1) * each), num_examples - 1)


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

  def __getitem__(self, index: int) -> Media:
    example = self._records.read([self._indices[index]])[0]
    return Media(
      id=example['id'].decode(),
      caption=example['captions'][0].decode(),
      image=images.read_image(example['image']),
      waveform=audio.decode_flac(example['audio']),
    )


def eval_batches(
  *,
  evaluations: Mapping[str, Mapping],
  batch_size: int,
  num_frames: int,
  words: Mapping = NO_WORDS,
  streams: Sequence[str] = features.STREAMS,
  data_dir: str = '',
  host: tuple[int, int] = (0, 1),
) -> dict[str, EvalBatches]:
  """Opens the records of each evaluation.

  Args:
    evaluations: name -> {'datasets', 'splits', 'num_queries', 'groups_of',
      'augmentation', 'num_frames'}; all examples of all splits are one
      gallery. `groups_of`, of other 'datasets' and 'splits': only groups that
      these have too, one example each, so that both make galleries of one
      size. `augmentation`, keyword arguments of `augment.Augmentation`: changes
      the recordings, always in the same way. `num_frames`: instead of the
      common one.
    batch_size: examples in a batch; the last may be smaller.
    num_frames: T, 100 a second; longer recordings are cropped.
    words: as in training.
    streams: as in training.
    data_dir: where the records are; '': TFDS' default.
    host: (index, count) of this process; see `EvalBatches`.

  Returns:
    name -> its batches.

  Raises:
    DataError: records are missing, their files are damaged, none has a group
      of `groups_of`, or `streams` are none that there are.
  """
  return {
    name: EvalBatches(
      **{'num_frames': num_frames, **evaluation},
      batch_size=batch_size,
      words=words,
      streams=streams,
      data_dir=data_dir,
      host=host,
      name=name,
    )
    for name, evaluation in evaluations.items()
  }
