"""Prepares data sets of video files: people's own, and generated ones."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from avl_jax.backbones import feature_extractor, network_names
from avl_jax.extraction.decoding.limits import Limits
from input_pipeline.datasets.narrated_videos import (
  preparation as narrated_videos,
)
from input_pipeline.datasets.own_videos import preparation as own_videos
from input_pipeline.datasets.own_videos import speech_clips
from input_pipeline.records import catalog, synthetic
from input_pipeline.records.bad_records import DataError


def prepare(
  name: str,
  data_dir: str,
  media_dir: str,
  weights: tuple[str, str],
  *,
  decoding: Mapping[str, Any],
  workers: int,
  narrated: Mapping[str, Any] = MappingProxyType({}),
  segments: str = '',
  speech: Mapping[str, Any] = MappingProxyType({}),
  beam: str = '',
) -> None:
  """Makes records of video files, or brings them up to date.

  Args:
    name: of the records, 'own_videos/CONFIG' or 'narrated_videos/CONFIG'.
    data_dir: see `input_pipeline.prepare`, as for all that follows.
    media_dir: folder of the videos, or a manifest; of the stamps for generated
      videos.
    weights: of the 2-D network, '' for the stand-in, and of the 3-D network.
    decoding: arguments of `Limits`.
    workers: videos that are decoded at once.
    narrated: options of generated videos (`narrated_videos.settings`).
    segments: 'speech': own clips are stretches of speech; '': as listed.
    speech: arguments of `speech_clips.Choice`: which of them.
    beam: options of Apache Beam, whose workers prepare; '': without it.

  Raises:
    UserError: see the preparation of either.
  """
  resnet152, resnext101 = map(os.path.expanduser, weights)
  files = {
    'resnet152': resnet152 or feature_extractor.STAND_IN,
    'resnext101': resnext101,
  }
  common: dict[str, Any] = {
    'data_dir': data_dir,
    'media_dir': media_dir,
    'networks_of': lambda digest: network_names.names_of(
      **files, digest=digest
    ),
    'make_extractor': lambda: feature_extractor.Extractor(**files),
    'limits': Limits(**decoding),
    'workers': workers,
    'beam': beam,
  }
  family, _, config = name.partition('/')
  if family == 'narrated_videos':
    narrated_videos.prepare(name, options=narrated, **common)
    return
  if not media_dir:
    raise DataError(
      f'The records of {name!r} are not in {catalog.data_folder(data_dir)}. '
      'Set --config.prepare.media_dir to the folder of your videos, or to a '
      'manifest (see input_pipeline/README.md).'
    )
  clips = speech_clips.Choice(**speech) if segments else None
  own_videos.prepare(config, clips=clips, **common)
  synthetic.mark(catalog.load(name, data_dir).data_dir, media_dir)
