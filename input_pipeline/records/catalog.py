"""Prepared data sets on disk: where they are, finding and counting them."""

import json
import os
import pathlib
from collections.abc import Sequence

from tensorflow_datasets.core import read_only_builder
from tensorflow_datasets.core.dataset_builder import DatasetBuilder
from tensorflow_datasets.core.registered import DatasetNotFoundError

from input_pipeline.records.bad_records import REMEDY, DataError

# A file of this name in a media folder marks the media as synthetic. The
# records keep the mark, so that no table of results takes them for real ones.
SYNTHETIC = 'SYNTHETIC'
# A file beside the records: stream -> name of the network of its features.
NETWORKS = 'networks.json'


def data_folder(data_dir: str) -> pathlib.Path:
  """`data_dir`, or TFDS' default: $TFDS_DATA_DIR, ~/tensorflow_datasets."""
  default = os.environ.get('TFDS_DATA_DIR', '~/tensorflow_datasets')
  return pathlib.Path(data_dir or default).expanduser()


def find(name: str, data_dir: str) -> DatasetBuilder | None:
  """The read-only builder of a prepared data set; None if there is none."""
  try:
    return read_only_builder.builder_from_files(
      name, data_dir=data_folder(data_dir)
    )
  except DatasetNotFoundError:
    return None


def load(name: str, data_dir: str) -> DatasetBuilder:
  """The read-only builder of a prepared data set.

  Raises:
    DataError: the data set is not prepared.
  """
  builder = find(name, data_dir)
  if builder is None:
    raise DataError(
      f'The records of {name!r} are not in {data_folder(data_dir)}. Run '
      '`python main.py --mode=prepare` with the same config first.'
    )
  return builder


def networks(folder: str | os.PathLike) -> dict[str, str]:
  """Networks of the features of records, stream -> name; {}: not known.

  Raises:
    DataError: the file that names them is damaged.
  """
  path = pathlib.Path(folder) / NETWORKS
  try:
    return dict(json.loads(path.read_bytes()))
  except FileNotFoundError:
    return {}
  except (OSError, TypeError, ValueError) as error:
    raise DataError(f'{path} is damaged: {error}. {REMEDY}') from error


def count(datasets: Sequence[str], split: str, data_dir: str) -> int:
  """Number of examples of a split, with TFDS' slicing, of prepared data sets.

  A data set that is named twice counts once.
  """
  return sum(
    load(name, data_dir).info.splits[split].num_examples
    for name in dict.fromkeys(datasets)
  )


def sizes(builder: DatasetBuilder) -> str:
  """How many examples each split has: '1,234 in train, 100 in val'."""
  return ', '.join(
    f'{split.num_examples:,} in {name}'
    for name, split in builder.info.splits.items()
  )
