"""Prepared TFDS records, read by random access."""

import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np

from input_pipeline import preparation
from input_pipeline.bad_records import DataError
from input_pipeline.shards import check_shards


class Records:
  """Splits of prepared data sets, one after another, by random access.

  Attributes:
    labels: str [N], the split that each record comes from.
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
      data_dir: where the records are; '': see `preparation.data_folder`.

    Raises:
      DataError: they are not there, or their files are not whole; see
        `shards`.
    """
    self._sources, labels, facts, self.mark = [], [], [], ''
    for name in datasets:
      builder = preparation.find(name, data_dir)
      if builder is None:
        preparation.check_name(name, data_dir)
        raise DataError(
          f'the records of {name!r} are not in '
          f'{preparation.data_folder(data_dir)}: run `python main.py '
          '--mode=prepare` with the same config first'
        )
      if (pathlib.Path(builder.data_dir) / preparation.SYNTHETIC).exists():
        self.mark = 'synthetic-'
      for split in splits:
        if (base := split.split('[')[0]) not in builder.info.splits:
          raise DataError(
            f'{name!r} has no split {base!r}; it has '
            f'{", ".join(builder.info.splits)}'
          )
        info = builder.info.splits[split]
        if not info.file_instructions:
          raise DataError(f'{name!r} has no record in {split!r}')
        source = builder.as_data_source(split)
        check_shards(info.file_instructions)
        self._sources.append(source)
        labels += [split] * len(source)
        facts.append((builder.info.full_name, split, len(source)))
        facts.append((sorted(builder.info.features), info.num_bytes))
    self._ends = np.cumsum([len(source) for source in self._sources])
    self.labels = np.array(labels)
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()
    self.fingerprint = self.mark + digest[:16]

  def __len__(self) -> int:
    return len(self.labels)

  def read(self, indices: Sequence[int]) -> list[dict]:
    """The examples at `indices`, in that order, as dicts of numpy values."""
    owners = np.searchsorted(self._ends, indices, side='right')
    examples: list = [None] * len(indices)
    for owner in np.unique(owners):
      (places,) = np.nonzero(owners == owner)
      start = self._ends[owner] - len(self._sources[owner])
      keys = [int(indices[place]) - int(start) for place in places]
      for place, example in zip(
        places, self._sources[owner].__getitems__(keys), strict=True
      ):
        examples[place] = example
    return examples

  def column(self, feature: str) -> list:
    """One feature of all records, in order."""
    return [
      example[feature]
      for start in range(0, len(self), 256)
      for example in self.read(range(start, min(start + 256, len(self))))
    ]
