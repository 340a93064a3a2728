"""Splits of prepared data sets: random access, decoding and checks."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import soundfile
import tensorflow_datasets as tfds
from tensorflow_datasets.core.dataset_builder import DatasetBuilder
from tensorflow_datasets.core.utils.shard_utils import FileInstruction

from avl_jax.features import MediaError, flac, images
from input_pipeline.records import catalog
from input_pipeline.records.bad_records import (
  BadRecordError,
  DataError,
  find_defect,
  is_pooled,
)
from input_pipeline.records.decoding import Decoder
from input_pipeline.records.shards import check_shard, check_shards

# Records of this many bytes are read in one call, so that storage far away is
# waited for once. Records that are larger are read one by one, which reuses
# their memory.
BYTES_PER_READ = 1 << 23


@dataclasses.dataclass(frozen=True)
class Needs:
  """Requirements on an example beyond its stored features.

  Attributes:
    waveform: decode the recording: 'waveform', float32 [samples].
    picture: decode the image: 'picture', uint8 [H, W, 3].
    captions: an example without captions is bad.
    centre: an example whose visual features are pooled already is bad.
  """

  waveform: bool = False
  picture: bool = False
  captions: bool = False
  centre: bool = False


STORED_ONLY = Needs()


class RawRecords(Protocol):
  """TFDS' data source of undecoded records."""

  def __len__(self) -> int:
    """Number of records."""
    ...

  def __getitem__(self, key: Any, /) -> Any:
    """The bytes of a record."""
    ...

  def __getitems__(self, keys: Any, /) -> Any:
    """The bytes of several records, in one call."""
    ...


@dataclasses.dataclass(frozen=True)
class Split:
  """A split of a data set: its files and, by random access, its records.

  Attributes:
    dataset: 'stamps/narrated_fr'.
    name: of the split, with its slicing.
    shards: files, and which of their records belong to the slice.
    records: undecoded.
    decode: converts a record to an example, a dict of numpy values.
    records_per_read: how many records are read in one call.
  """

  dataset: str
  name: str
  shards: Sequence[FileInstruction]
  records: RawRecords
  decode: Callable[[bytes], dict]
  records_per_read: int

  def fetch(self, keys: Sequence[int]) -> Iterator[dict | BadRecordError]:
    """Yields the records at `keys`; holds those of one read at a time."""
    for start in range(0, len(keys), self.records_per_read):
      yield from self._fetch_some(keys[start : start + self.records_per_read])

  def _fetch_some(self, keys: Sequence[int]) -> list[dict | BadRecordError]:
    """The records at `keys`; in one call unless one of them is bad."""
    if len(keys) > 1:
      try:
        records = self.records.__getitems__(keys)
        return [self.decode(record) for record in records]
      except Exception:  # Reading and parsing raise too many kinds to list.
        pass
    return [self._fetch_one(key) for key in keys]

  def _fetch_one(self, key: int) -> dict | BadRecordError:
    try:
      return self.decode(self.records[key])
    except Exception as error:
      ends = np.cumsum([shard.take for shard in self.shards])
      # If the whole file was lost meanwhile, this is not one bad record.
      check_shard(self.shards[int(np.searchsorted(ends, key, side='right'))])
      return self._bad(key, 'unreadable', detail=str(error))

  def check(
    self, key: int, example: dict, needs: Needs
  ) -> dict | BadRecordError:
    """Decodes what is needed of an example and checks it.

    Args:
      key: of the record.
      example: the record, decoded.
      needs: what to decode and to require.

    Returns:
      The example with the decoded media, or the error of a bad one.
    """
    detail = ''
    try:
      if needs.waveform:
        example = example | {'waveform': flac.decode(example['audio'])}
      if needs.picture:
        example = example | {'picture': images.read_image(example['image'])}
      reason = find_defect(example)
      if needs.captions and not len(example.get('captions', ())):
        reason = reason or 'no captions to cut around (train_data.min_time)'
      if needs.centre and not reason and is_pooled(example):
        reason = (
          'visual features pooled over the clip, without a centre; use records '
          "made of videos, or visual_pooling='max'"
        )
    except soundfile.SoundFileError as error:
      reason, detail = 'audio unreadable', str(error)
    except MediaError as error:
      reason, detail = 'image unreadable', str(error)
    if not reason:
      return example
    return self._bad(key, reason, name=example['id'], detail=detail)

  def _bad(
    self, key: int, reason: str, *, name: bytes = b'', detail: str = ''
  ) -> BadRecordError:
    """The error of the bad record at `key`."""
    record = {'dataset': self.dataset, 'split': self.name, 'index': key}
    record |= {'id': name.decode()} if name else {}
    return BadRecordError(record | {'reason': reason}, detail)


def open_splits(
  dataset: str, names: Sequence[str], data_dir: str
) -> Iterator[tuple[Split, DatasetBuilder]]:
  """Yields each split of a data set, and its read-only builder.

  Raises:
    DataError: the data set is not prepared, has no such split, or its files
      are damaged; see `shards`.
  """
  builder = catalog.load(dataset, data_dir)
  for name in names:
    yield _open_split(dataset, name, builder), builder


def _open_split(dataset: str, name: str, builder: DatasetBuilder) -> Split:
  base = name.partition('[')[0]
  if base not in builder.info.splits:
    raise DataError(
      f'{dataset!r} has no split {base!r}. It has '
      f'{", ".join(builder.info.splits)}, because the sources of the other '
      'splits were missing when it was prepared. Add them, delete '
      f'{builder.data_path} and run `python main.py --mode=prepare` again, or '
      'remove the split from eval_data.evaluations.'
    )
  shards = builder.info.splits[name].file_instructions
  if not shards:
    raise DataError(
      f'{dataset!r} has no record in the split {name!r}. Choose a larger slice.'
    )
  check_shards(shards)
  records: Any = builder.as_data_source(
    split=name, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
  )
  info = builder.info.splits[base]
  size = max(1, info.num_bytes // max(1, info.num_examples))
  return Split(
    dataset,
    name,
    shards,
    records,
    Decoder(builder.info.features),
    max(1, BYTES_PER_READ // size),
  )
