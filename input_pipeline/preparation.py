"""Prepared TFDS data sets: making them, and finding them by name."""

import errno
import hashlib
import os
import pathlib
from collections.abc import Sequence

import tensorflow_datasets as tfds
from tensorflow_datasets.core import read_only_builder
from tensorflow_datasets.core.registered import DatasetNotFoundError

from avl_jax.backbones import extractor
from input_pipeline.bad_records import DataError
from input_pipeline.datasets import clips, stamps, videos
from input_pipeline.extraction import Extraction

BUILDERS = {  # the data sets this program can prepare
  'clips': clips.Clips,
  'stamps': stamps.Stamps,
  'videos': videos.Videos,
}

# A file of this name among the media says that their content is made up; the
# records keep it, and no table of results takes them for the real ones.
SYNTHETIC = 'SYNTHETIC'


def data_folder(data_dir: str) -> pathlib.Path:
  """`data_dir`, or TFDS' own default: $TFDS_DATA_DIR, ~/tensorflow_datasets."""
  default = os.environ.get('TFDS_DATA_DIR', '~/tensorflow_datasets')
  return pathlib.Path(data_dir or default).expanduser()


def prepare(
  *,
  datasets: Sequence[str],
  data_dir: str = '',
  media_dir: str = '',
  resnet152: str = '',
  resnext101: str = '',
  speech_words: int = 1,
) -> None:
  """Makes the records of data sets ('stamps/narrated_fr') not there yet.

  A run that is interrupted leaves nothing that a later run takes for good:
  TFDS writes into a folder of another name and renames it at the end.

  Args:
    datasets: names 'dataset/config'.
    data_dir: where the records go; '': see `data_folder`.
    media_dir: where the media lie; '': they are fetched.
    resnet152: file of weights of the 2-D network (see `Extractor`), for data
      sets made of raw videos; '': they are made of features.
    resnext101: file of weights of the 3-D network; '': 2-D features only.
    speech_words: words of a clip from which on it counts as speech, where
      splits are made by words.

  Raises:
    DataError: a data set or config of this name cannot be prepared, or the
      disk is full.
  """
  tfds.disable_progress_bar()  # The builders show bars that know their end.
  extraction = None
  for name in datasets:
    if find(name, data_dir) is not None:
      continue
    check_name(name, data_dir)
    family, _, config = name.partition('/')
    options = {'speech_words': speech_words} if family == 'clips' else {}
    if family in ('clips', 'videos') and resnet152:
      extraction = extraction or _extraction(resnet152, resnext101, data_dir)
      options['extraction'] = extraction
    try:
      BUILDERS[family](
        config=config,
        data_dir=data_folder(data_dir),
        media_dir=media_dir,
        **options,
      ).download_and_prepare()
      builder = find(name, data_dir)
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


def _extraction(resnet152: str, resnext101: str, data_dir: str) -> Extraction:
  """The networks of these weights, and a folder for what they make."""
  files = [os.path.expanduser(file) for file in (resnet152, resnext101)]
  extract = extractor.Extractor(resnet152=files[0], resnext101=files[1])
  facts = [
    (file, os.path.getsize(file), os.path.getmtime(file))
    if os.path.isfile(file)
    else file
    for file in files
  ]
  of_weights = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
  folder = data_folder(data_dir) / 'extracted' / of_weights
  print(
    f'what is extracted of videos is kept in {folder}, so that a preparation '
    'that is interrupted goes on; once the records are made it may be deleted'
  )
  return Extraction(extract, extract.widths, folder)


def check_name(name: str, data_dir: str) -> None:
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


def find(name: str, data_dir: str):
  """The read-only builder of prepared records, or None."""
  try:
    return read_only_builder.builder_from_files(
      name, data_dir=data_folder(data_dir)
    )
  except DatasetNotFoundError:
    return None
