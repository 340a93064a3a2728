"""Prepared TFDS records: preparing them, and reading them by random access."""

import errno
import hashlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import read_only_builder
from tensorflow_datasets.core.registered import DatasetNotFoundError

from avl_jax import UserError
from input_pipeline.datasets import clips, stamps, videos

BUILDERS = {  # the data sets this program can prepare
  'clips': clips.Clips,
  'stamps': stamps.Stamps,
  'videos': videos.Videos,
}

# A file of this name among the media says that their content is made up; the
# records keep it, and no table of results takes them for the real ones.
SYNTHETIC = 'SYNTHETIC'


class DataError(UserError):
  """Records that are missing or not what they must be."""


def data_folder(data_dir: str) -> pathlib.Path:
  """`data_dir`, or TFDS' own default: $TFDS_DATA_DIR, ~/tensorflow_datasets."""
  default = os.environ.get('TFDS_DATA_DIR', '~/tensorflow_datasets')
  return pathlib.Path(data_dir or default).expanduser()


def prepare(
  *,
  datasets: Sequence[str],
  data_dir: str = '',
  media_dir: str = '',
) -> None:
  """Makes the records of data sets ('stamps/narrated_fr') not there yet.

  A run that is interrupted leaves nothing that a later run takes for good:
  TFDS writes into a folder of another name and renames it at the end.

  Args:
    datasets: names 'dataset/config'.
    data_dir: where the records go; '': see `data_folder`.
    media_dir: where the media lie; '': they are fetched.

  Raises:
    DataError: a data set or config of this name cannot be prepared, or the
      disk is full.
  """
  tfds.disable_progress_bar()  # The builders show bars that know their end.
  for name in datasets:
    if _find(name, data_dir) is not None:
      continue
    _check_name(name, data_dir)
    family, _, config = name.partition('/')
    try:
      BUILDERS[family](
        config=config, data_dir=data_folder(data_dir), media_dir=media_dir
      ).download_and_prepare()
      builder = _find(name, data_dir)
      if any(
        (pathlib.Path(folder).expanduser() / SYNTHETIC).exists()
        for folder in media_dir.split(os.pathsep)
        if folder
      ):
        (pathlib.Path(builder.data_dir) / SYNTHETIC).touch()
      sizes = {
        split: info.num_examples for split, info in builder.info.splits.items()
      }
      print(
        f'{name}: {sizes}; what was left out: {builder.data_dir}/skipped.json'
      )
    except (OSError, RuntimeError) as error:
      # ArrayRecord's writer raises RuntimeError, with the system's words.
      if os.strerror(errno.ENOSPC) not in str(error):
        raise
      raise DataError(
        f'the disk with {data_folder(data_dir)} is full; nothing of {name} '
        f'was kept. Free some space or choose another data_dir'
      ) from error


def _check_name(name: str, data_dir: str) -> None:
  """Raises DataError unless this program can prepare the data set."""
  family, _, config = name.partition('/')
  if family not in BUILDERS:
    raise DataError(
      f'the records of {name!r} are not in {data_folder(data_dir)}, and their '
      'media cannot be fetched. Write them as TFDS records (ArrayRecord) named '
      f'{name}, with the features id, spectrogram [T, 40], visual_2d [S, V] '
      "and visual_3d [S', V'], from videos that you have the right to use; "
      '`python main.py --config=configs/stamps.py` runs without them'
    )
  if config not in BUILDERS[family].builder_configs:
    raise DataError(
      f'{family!r} has no config {config!r}; it has '
      f'{", ".join(BUILDERS[family].builder_configs)}'
    )


def _find(name: str, data_dir: str):
  """The read-only builder of prepared records, or None."""
  try:
    return read_only_builder.builder_from_files(
      name, data_dir=data_folder(data_dir)
    )
  except DatasetNotFoundError:
    return None


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
      data_dir: where the records are; '': see `data_folder`.

    Raises:
      DataError: they are not there.
    """
    self._sources, labels, facts, self.mark = [], [], [], ''
    for name in datasets:
      builder = _find(name, data_dir)
      if builder is None:
        _check_name(name, data_dir)
        raise DataError(
          f'the records of {name!r} are not in {data_folder(data_dir)}: run '
          '`python main.py --mode=prepare` with the same config first'
        )
      if (pathlib.Path(builder.data_dir) / SYNTHETIC).exists():
        self.mark = 'synthetic-'
      for split in splits:
        if (base := split.split('[')[0]) not in builder.info.splits:
          raise DataError(
            f'{name!r} has no split {base!r}; it has '
            f'{", ".join(builder.info.splits)}'
          )
        source = builder.as_data_source(split)
        self._sources.append(source)
        labels += [split] * len(source)
        info = builder.info.splits[split]
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
