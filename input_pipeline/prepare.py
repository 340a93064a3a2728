"""Prepares data sets: makes the records that do not exist yet.

The package exports the function `prepare`, which hides this module's name:
import other names with `from input_pipeline.prepare import NAME`. Builders,
voices and networks are imported only when records are missing.
"""

import contextlib
import errno
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import tensorflow_datasets as tfds

from avl_jax import logs
from avl_jax.errors import ConfigError
from input_pipeline.records import catalog, synthetic
from input_pipeline.records.bad_records import DataError


def prepare(
  *,
  datasets: Sequence[str],
  data_dir: str = '',
  media_dir: str = '',
  resnet152: str = '',
  resnext101: str = '',
  speech_words: int = 1,
  workers: int = 1,
  decoding: Mapping[str, Any] = MappingProxyType({}),
  **of_videos,
) -> None:
  """Makes the records of data sets that are not prepared yet.

  An interrupted preparation leaves no incomplete data set: TFDS writes into a
  temporary folder and renames it at the end.

  Example:
    prepare(datasets=('stamps/narrated_fr', 'stamps/human_fr'))

  Args:
    datasets: names 'dataset/config'.
    data_dir: folder of the records; '': see `catalog.data_folder`.
    media_dir: of the media, or several with os.pathsep; '': download them.
    resnet152: weights of the 2-D network (see `Extractor`) for raw videos; '':
      data sets are made of features (own videos: the packaged network).
    resnext101: file of weights of the 3-D network; '': 2-D features only.
    speech_words: a clip of at least so many words counts as speech, in data
      sets whose splits are made by the number of words.
    workers: raw videos that are decoded at once, see `workers.number`.
    decoding: arguments of `decoding.limits.Limits`: what a video may cost.
    **of_videos: of own and generated videos only: narrated, segments, speech,
      beam; see `prepare_videos.prepare`.

  Raises:
    DataError: a data set or config of this name cannot be prepared, or the
      disk is full.
    ConfigError: options of videos fit none of the data sets.
  """
  missing = _missing(datasets, data_dir, media_dir)
  _check_options(datasets, **of_videos)
  if of_videos.get('beam') and missing:
    from input_pipeline.datasets import beam_options

    beam_options.check(of_videos['beam'], missing)
  weights = (resnet152, resnext101)
  limits = {'decoding': decoding, 'workers': workers}
  extraction = None
  for name in missing:
    if _is_own(name) or _is_narrated(name):
      _prepare_videos(name, data_dir, media_dir, weights, of_videos | limits)
      continue
    family = name.split('/')[0]
    options: dict[str, Any] = {}
    if family == 'clips':
      options['speech_words'] = speech_words
    if family in ('clips', 'videos') and resnet152:
      extraction = extraction or _open_extraction(weights, data_dir, **limits)
      options['extraction'] = extraction
    _prepare_one(name, data_dir, media_dir, options)


def _check_options(
  datasets: Sequence[str],
  *,
  segments: str = '',
  narrated: Mapping[str, Any] = MappingProxyType({}),
  **_,
) -> None:
  """Raises ConfigError if the options of videos fit none of the data sets."""
  if segments and datasets and not any(map(_is_own, datasets)):
    raise ConfigError(
      f'prepare.segments is {segments!r}, but prepare.datasets has no own '
      'videos. Expected own_videos/clips. Use '
      "--config=configs/own_videos.py:speech, or set prepare.segments to ''."
    )
  if any(map(_is_narrated, datasets)):
    from input_pipeline.datasets.narrated_videos import settings

    settings.check_not_empty(filter(_is_narrated, datasets), narrated)


def _missing(
  datasets: Sequence[str], data_dir: str, media_dir: str
) -> list[str]:
  """The data sets to prepare, or to look at; DataError: one has no builder."""
  missing = [
    name
    for name in dict.fromkeys(datasets)
    if _is_narrated(name)
    or (_is_own(name) and media_dir)
    or not catalog.find(name, data_dir)
  ]
  for name in missing:
    check_name(name, data_dir)
  return missing


def _is_own(name: str) -> bool:
  return name.startswith('own_videos/')


def _is_narrated(name: str) -> bool:
  return name.startswith('narrated_videos/')


def _open_extraction(weights: tuple[str, str], data_dir: str, **limits):
  """The extraction of raw videos, see `raw_videos`."""
  from input_pipeline.datasets import raw_videos

  folder = catalog.data_folder(data_dir)
  return raw_videos.open_extraction(weights, folder, **limits)


def _prepare_videos(
  name: str,
  data_dir: str,
  media_dir: str,
  weights: tuple[str, str],
  options: dict[str, Any],
) -> None:
  """Makes records of video files, or brings them up to date."""
  from input_pipeline import prepare_videos

  tfds.disable_progress_bar()  # The preparation shows bars of its own.
  with _explain_full_disk(name, data_dir):
    prepare_videos.prepare(name, data_dir, media_dir, weights, **options)


def _builders() -> dict[str, type[tfds.core.GeneratorBasedBuilder]]:
  """The builders of the data sets that this program can prepare."""
  from input_pipeline.datasets.clips.builder import Clips
  from input_pipeline.datasets.spoken_captions.builder import SpokenCaptions
  from input_pipeline.datasets.stamps.builder import Stamps
  from input_pipeline.datasets.videos.builder import Videos

  return {
    'clips': Clips,
    'spoken_captions': SpokenCaptions,
    'stamps': Stamps,
    'videos': Videos,
  }


def check_name(name: str, data_dir: str) -> None:
  """Raises DataError unless this program can prepare the data set."""
  family, _, config = name.partition('/')
  configs = _configs(family)
  if not configs:
    raise DataError(
      f'The records of {name!r} are not in {catalog.data_folder(data_dir)}, '
      'and this program cannot prepare them. Write them as TFDS records '
      f'(ArrayRecord) named {name}, with the features id, spectrogram '
      "[T, 40], visual_2d [S, V] and visual_3d [S', V'], from videos that you "
      'have the right to use. To try the program without them, run '
      '`python main.py --config=configs/stamps.py`.'
    )
  if config not in configs:
    raise DataError(
      f'The data set {family!r} has no config {config!r}. Choose one of '
      f'{", ".join(configs)}.'
    )


def _configs(family: str) -> Collection[str]:
  """Names of a data set's configs that this program can prepare; (): none."""
  if family == 'own_videos':
    return 'untrimmed', 'clips'
  if family == 'narrated_videos':
    from input_pipeline.datasets.narrated_videos import listing

    return listing.NAMES
  builders = _builders()
  return builders[family].builder_configs if family in builders else ()


def _prepare_one(
  name: str, data_dir: str, media_dir: str, options: dict[str, Any]
) -> None:
  """Makes the records of a data set and prints their number."""
  tfds.disable_progress_bar()  # The builders show bars with a known total.
  family, _, config = name.partition('/')
  with _explain_full_disk(name, data_dir):
    _builders()[family](
      config=config,
      data_dir=catalog.data_folder(data_dir),
      media_dir=media_dir,
      **options,
    ).download_and_prepare()
    builder = catalog.load(name, data_dir)
    synthetic.mark(builder.data_dir, media_dir)
  sizes = catalog.sizes(builder)
  logs.write(
    f'Prepared {name}: {sizes}. Skipped examples are listed in '
    f'{builder.data_dir}/skipped.json.'
  )


@contextlib.contextmanager
def _explain_full_disk(name: str, data_dir: str) -> Iterator[None]:
  """Raises DataError in place of the errors of a full disk."""
  try:
    yield
  except (OSError, RuntimeError) as error:
    # ArrayRecord's writer raises RuntimeError, with the system's message.
    if os.strerror(errno.ENOSPC) not in str(error):
      raise
    raise DataError(
      f'The disk with {catalog.data_folder(data_dir)} is full. No records of '
      f'{name} were kept. Free some space or choose another data_dir.'
    ) from error
