"""A split of a prepared data set, and what is wrong with its records."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import soundfile
import tensorflow_datasets as tfds
from tensorflow_datasets.core.dataset_builder import DatasetBuilder
from tensorflow_datasets.core.utils.shard_utils import FileInstruction

from avl_jax.features import MediaError, audio, images
from input_pipeline.records import catalog
from input_pipeline.records.bad_records import BadRecordError, DataError, fault
from input_pipeline.records.decoding import Decoder
from input_pipeline.records.shards import check_shard, check_shards

# Bytes of records that are read in one call, which is to wait for storage far
# away but once; what is much larger is read one by one, in the same memory.
AT_ONCE = 1 << 23


@dataclasses.dataclass(frozen=True)
class Split:
  """A split of a data set: its files and, by random access, its records.

  Attributes:
    dataset: 'stamps/narrated_fr'.
    name: of the split, with its slicing.
    shards: files, and which of their records are of the slice.
    records: as bytes.
    decode: from a record to an example, a dict of numpy values.
    at_once: how many records are read in one call.
  """

  dataset: str
  name: str
  shards: Sequence[FileInstruction]
  records: Sequence[bytes]
  decode: Callable[[bytes], dict]
  at_once: int

  def fetch(self, keys: Sequence[int]) -> Iterator[dict | BadRecordError]:
    """Yields the records at `keys`, of which no more than needed are held."""
    for start in range(0, len(keys), self.at_once):
      yield from self._fetch_some(keys[start : start + self.at_once])

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
      # That its file has been lost since is no matter of one record.
      check_shard(self.shards[np.searchsorted(ends, key, side='right')])
      return self.bad(key, 'unreadable', detail=str(error))

  def check(
    self,
    key: int,
    example: dict,
    *,
    with_waveform: bool,
    with_picture: bool,
    with_captions: bool,
  ) -> dict | BadRecordError:
    """The example, with what is asked for decoded; or the fault."""
    detail = ''
    try:
      if with_waveform:
        example = example | {'waveform': audio.decode_flac(example['audio'])}
      if with_picture:
        example = example | {'picture': images.read_image(example['image'])}
      reason = fault(example)
      if with_captions and not len(example.get('captions', ())):
        reason = reason or 'no captions to cut around (train_data.min_time)'
    except soundfile.SoundFileError as error:
      reason, detail = 'audio unreadable', str(error)
    except MediaError as error:
      reason, detail = 'image unreadable', str(error)
    if not reason:
      return example
    return self.bad(key, reason, name=example['id'], detail=detail)

  def bad(
    self, key: int, reason: str, *, name: bytes = b'', detail: str = ''
  ) -> BadRecordError:
    """The error that says what is wrong with the record at `key`."""
    record = {'dataset': self.dataset, 'split': self.name, 'index': key}
    record |= {'id': name.decode()} if name else {}
    return BadRecordError(record | {'reason': reason}, detail)


def open_splits(
  dataset: str, names: Sequence[str], data_dir: str
) -> Iterator[tuple[Split, DatasetBuilder]]:
  """Yields each split of a data set, and the builder that knows it.

  Raises:
    DataError: it is not there, or its files are not whole; see `shards`.
  """
  builder = catalog.find(dataset, data_dir)
  if builder is None:
    raise DataError(
      f'the records of {dataset!r} are not in '
      f'{catalog.data_folder(data_dir)}: run `python main.py '
      '--mode=prepare` with the same config first'
    )
  for name in names:
    if (base := name.split('[')[0]) not in builder.info.splits:
      raise DataError(
        f'{dataset!r} has no split {base!r}; it has '
        f'{", ".join(builder.info.splits)}: what it is made of was not there '
        f'when the records were made. Remove {builder.data_path} to make them '
        'anew, or leave the split out of eval_data.evaluations'
      )
    shards = builder.info.splits[name].file_instructions
    if not shards:
      raise DataError(f'{dataset!r} has no record in {name!r}')
    check_shards(shards)
    records = builder.as_data_source(
      name, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
    )
    info = builder.info.splits[base]
    size = max(1, info.num_bytes // max(1, info.num_examples))
    yield (
      Split(
        dataset,
        name,
        shards,
        records,
        Decoder(builder.info.features),
        max(1, AT_ONCE // size),
      ),
      builder,
    )
