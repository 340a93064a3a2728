"""Prepared data sets on the disk: where they are, finding and counting them."""

import os
import pathlib
from collections.abc import Sequence

from tensorflow_datasets.core import read_only_builder
from tensorflow_datasets.core.dataset_builder import DatasetBuilder
from tensorflow_datasets.core.registered import DatasetNotFoundError

# A file of this name among the media says that their content is made up; the
# records keep it, and no table of results takes them for the real ones.
SYNTHETIC = 'SYNTHETIC'


def data_folder(data_dir: str) -> pathlib.Path:
  """`data_dir`, or TFDS' own default: $TFDS_DATA_DIR, ~/tensorflow_datasets."""
  default = os.environ.get('TFDS_DATA_DIR', '~/tensorflow_datasets')
  return pathlib.Path(data_dir or default).expanduser()


def find(name: str, data_dir: str) -> DatasetBuilder | None:
  """The read-only builder of prepared records, or None."""
  try:
    return read_only_builder.builder_from_files(
      name, data_dir=data_folder(data_dir)
    )
  except DatasetNotFoundError:
    return None


def count(datasets: Sequence[str], split: str, data_dir: str) -> int:
  """Number of examples of a split, with TFDS' slicing, of prepared data sets.

  A data set that is named twice counts once.
  """
  return sum(
    find(name, data_dir).info.splits[split].num_examples
    for name in dict.fromkeys(datasets)
  )
