"""Prepared TFDS records, read by random access."""

import hashlib
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from input_pipeline.records import catalog
from input_pipeline.records.bad_records import BadRecordError, good
from input_pipeline.records.splits import open_splits


class Records:
  """Splits of prepared data sets, one after another, by random access.

  Attributes:
    labels: str [N], the split that each record comes from.
    features: names that all records have.
    mark: 'synthetic-' where the media are marked so, else ''.
    fingerprint: the mark, and a hash of names, versions, features and sizes
      of the records.
  """

  def __init__(
    self,
    datasets: Sequence[str],
    splits: Sequence[str],
    data_dir: str = '',
  ):
    """Opens the records.

    Args:
      datasets: names 'dataset/config', each with all the splits.
      splits: names of splits, with TFDS' slicing ('train[:10%]').
      data_dir: where the records are; '': see `catalog.data_folder`.

    Raises:
      DataError: they are not there, or their files are not whole; see
        `shards`.
    """
    self._splits, labels, facts, self.mark = [], [], [], ''
    features = []
    for name in datasets:
      for split, builder in open_splits(name, splits, data_dir):
        if (pathlib.Path(builder.data_dir) / catalog.SYNTHETIC).exists():
          self.mark = 'synthetic-'
        self._splits.append(split)
        info, count = builder.info, len(split.records)
        labels += [split.name] * count
        facts.append((info.full_name, split.name, count))
        num_bytes = info.splits[split.name].num_bytes
        facts.append((sorted(info.features), num_bytes))
        features.append(set(info.features))
    self._ends = np.cumsum([len(split.records) for split in self._splits])
    self.labels = np.array(labels)
    self.features = set.intersection(*features) if features else set()
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()
    self.fingerprint = self.mark + digest[:16]

  def __len__(self) -> int:
    return len(self.labels)

  def _places(self, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Number of the split of each record, and its index there; int [n]."""
    owners = np.searchsorted(self._ends, indices, side='right')
    starts = np.concatenate([[0], self._ends])[owners]
    return owners, np.asarray(indices) - starts

  def _fetch(self, indices: Sequence[int]) -> Iterator[dict | BadRecordError]:
    owners, keys = self._places(indices)
    parts = {
      owner: self._splits[owner].fetch(keys[owners == owner].tolist())
      for owner in np.unique(owners)
    }
    for owner in owners:
      yield next(parts[owner])

  def read(self, indices: Sequence[int]) -> list[dict]:
    """The examples at `indices`, in that order, as dicts of numpy values.

    Raises:
      BadRecordError: one cannot be read.
    """
    return [good(example) for example in self._fetch(indices)]

  def attempt(
    self,
    indices: Sequence[int],
    *,
    with_waveform: bool = False,
    with_picture: bool = False,
    with_captions: bool = False,
  ) -> Iterator[dict | BadRecordError]:
    """Yields the example at each index, or the error that says why not.

    Args:
      indices: of the examples, which are read as they are asked for, small
        ones many at once.
      with_waveform: decode the recordings, one by one: float32 [samples].
      with_picture: decode the images likewise: uint8 [H, W, 3].
      with_captions: what has none is bad.
    """
    owners, keys = self._places(indices)
    for owner, key, example in zip(
      owners, keys.tolist(), self._fetch(indices), strict=True
    ):
      if isinstance(example, BadRecordError):
        yield example
      else:
        yield self._splits[owner].check(
          key,
          example,
          with_waveform=with_waveform,
          with_picture=with_picture,
          with_captions=with_captions,
        )

  def scan(self) -> Iterator[dict | BadRecordError]:
    """Yields every record in order, or the error of one that is unreadable."""
    yield from self._fetch(range(len(self)))

  def column(self, feature: str) -> list:
    """One feature of all records, in order.

    Raises:
      BadRecordError: a record cannot be read.
    """
    return [good(example)[feature] for example in self.scan()]
