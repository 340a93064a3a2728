"""Random access to the records of prepared data sets."""

import hashlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from input_pipeline.records import catalog
from input_pipeline.records.bad_records import (
  BadRecordError,
  DataError,
  raise_if_bad,
)
from input_pipeline.records.splits import STORED_ONLY, Needs, open_splits


class Records:
  """Splits of prepared data sets, one after another, by random access.

  Attributes:
    labels: str [N], the split of each record.
    features: names of the features that all records have.
    networks: stream -> name of the network of its features, where known.
    mark: 'synthetic-' if the media are marked as synthetic, else ''.
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
      data_dir: folder of the records; '': see `catalog.data_folder`.

    Raises:
      DataError: a data set is not prepared, its files are damaged, see
        `shards`, or two data sets have features of different networks.
    """
    self.networks: dict[str, str] = {}
    self._splits, labels, facts, self.mark = [], [], [], ''
    features = []
    for name in datasets:
      for split, builder in open_splits(name, splits, data_dir):
        if (pathlib.Path(builder.data_dir) / catalog.SYNTHETIC).exists():
          self.mark = 'synthetic-'
        self._add_networks(name, catalog.networks(builder.data_dir))
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

  def _add_networks(self, name: str, found: Mapping[str, str]) -> None:
    for stream, network in found.items():
      known = self.networks.setdefault(stream, network)
      if known != network:
        raise DataError(
          f'{stream} of {name!r} is of the network {network}. The other data '
          f'sets have {known}. Choose data sets of one network.'
        )

  def __len__(self) -> int:
    return len(self.labels)

  def _places(self, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The split of each record, by number, and its index there; int [n]."""
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
    """Returns the examples at `indices`, in that order, without checking them.

    Raises:
      BadRecordError: a record cannot be read.
    """
    return [raise_if_bad(example) for example in self._fetch(indices)]

  def read_checked(
    self, indices: Sequence[int], needs: Needs = STORED_ONLY
  ) -> Iterator[dict | BadRecordError]:
    """Yields the example at each index, or the error of a bad record.

    Records are read when the iterator gets to them, small ones many at once.
    Media are decoded one by one.

    Args:
      indices: of the examples.
      needs: what to decode and to require.
    """
    owners, keys = self._places(indices)
    for owner, key, example in zip(
      owners, keys.tolist(), self._fetch(indices), strict=True
    ):
      if isinstance(example, BadRecordError):
        yield example
      else:
        yield self._splits[owner].check(key, example, needs)

  def scan(self) -> Iterator[dict | BadRecordError]:
    """Yields every record in order, or the error of one that is unreadable."""
    yield from self._fetch(range(len(self)))

  def num_videos(self, indices: np.ndarray) -> int:
    """Number of videos that the clips at `indices` are from; 0: no clips.

    Raises:
      BadRecordError: a record cannot be read.
    """
    if not {'start', 'group'} <= self.features:
      return 0
    return len(np.unique(np.array(self.column('group'))[indices]))

  def column(self, feature: str) -> list:
    """Returns one feature of all records, in order.

    Raises:
      BadRecordError: a record cannot be read.
    """
    return [raise_if_bad(example)[feature] for example in self.scan()]
