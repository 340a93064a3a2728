"""Prepares data sets: makes the records that are not there yet."""

import errno
import hashlib
import os
import pathlib
from collections.abc import Sequence

import tensorflow_datasets as tfds

from avl_jax.backbones import feature_extractor
from avl_jax.extraction.video_features import Extraction
from input_pipeline.datasets.clips import builder as clips
from input_pipeline.datasets.spoken_captions import builder as spoken_captions
from input_pipeline.datasets.stamps import builder as stamps
from input_pipeline.datasets.videos import builder as videos
from input_pipeline.records import catalog
from input_pipeline.records.bad_records import DataError

BUILDERS = {  # the data sets this program can prepare
  'clips': clips.Clips,
  'spoken_captions': spoken_captions.SpokenCaptions,
  'stamps': stamps.Stamps,
  'videos': videos.Videos,
}


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
    data_dir: where the records go; '': see `catalog.data_folder`.
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
    if catalog.find(name, data_dir) is not None:
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
        data_dir=catalog.data_folder(data_dir),
        media_dir=media_dir,
        **options,
      ).download_and_prepare()
      builder = catalog.find(name, data_dir)
      if any(
        (pathlib.Path(folder).expanduser() / catalog.SYNTHETIC).exists()
        for folder in media_dir.split(os.pathsep)
        if folder
      ):
        (pathlib.Path(builder.data_dir) / catalog.SYNTHETIC).touch()
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
        f'The disk with {catalog.data_folder(data_dir)} is full; nothing of '
        f'{name} was kept. Free some space or choose another data_dir.'
      ) from error


def _extraction(resnet152: str, resnext101: str, data_dir: str) -> Extraction:
  """The networks of these weights, and a folder for what they make."""
  files = [os.path.expanduser(file) for file in (resnet152, resnext101)]
  extract = feature_extractor.Extractor(resnet152=files[0], resnext101=files[1])
  facts = [
    (file, os.path.getsize(file), os.path.getmtime(file))
    if os.path.isfile(file)
    else file
    for file in files
  ]
  of_weights = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
  folder = catalog.data_folder(data_dir) / 'extracted' / of_weights
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
      f'The records of {name!r} are not in {catalog.data_folder(data_dir)}, '
      'and their media cannot be fetched. Write them as TFDS records '
      f'(ArrayRecord) named {name}, with the features id, spectrogram '
      "[T, 40], visual_2d [S, V] and visual_3d [S', V'], from videos that you "
      'have the right to use; '
      '`python main.py --config=configs/stamps.py` runs without them'
    )
  if config not in BUILDERS[family].builder_configs:
    raise DataError(
      f'{family!r} has no config {config!r}; it has '
      f'{", ".join(BUILDERS[family].builder_configs)}'
    )
