"""Generates narrated videos, and prepares them in the way of own videos."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from avl_jax.errors import UserError
from avl_jax.extraction.decoding_limits import Limits
from input_pipeline.datasets.narrated_videos import (
  builder,
  casting,
  generation,
  listing,
  settings,
)
from input_pipeline.datasets.own_videos import preparation
from input_pipeline.datasets.own_videos.digests import Digests
from input_pipeline.datasets.stamps import debian
from input_pipeline.datasets.stamps.builder import PACKAGE
from input_pipeline.records import catalog

FAMILY = 'narrated_videos'


def prepare(
  name: str,
  *,
  data_dir: str,
  media_dir: str,
  options: Mapping[str, Any],
  networks_of: Callable[[Digests], Mapping[str, str]],
  make_extractor: Callable[[], Callable[..., Mapping]],
  limits: Limits | None = None,
  workers: int = 1,
) -> None:
  """Makes the records, and the videos if they are not there.

  The videos are in `generated/narrated_videos` beside the records. If records
  of the same settings and networks exist, nothing is done.

  Args:
    name: one of `listing.NAMES`, behind 'narrated_videos/'.
    data_dir: folder of the records; '': see `catalog.data_folder`.
    media_dir: folder of the stamps; '': download them through apt.
    options: of `settings.Settings`, without the language.
    networks_of: as of own videos.
    make_extractor: likewise.
    limits: likewise.
    workers: likewise.

  Raises:
    UserError: an option is not possible, the stamps cannot be had, or records
      of other settings or networks exist.
  """
  part, _, language = name.partition('/')[2].rpartition('_')
  chosen = settings.make(language, options)
  folder = catalog.data_folder(data_dir)
  records = catalog.find(name, data_dir)
  if records:
    old = pathlib.Path(records.data_dir)
    if not settings.are_those_of(old, chosen):
      raise UserError(
        f'The records in {old} are of other settings than prepare.narrated; '
        f'{old / settings.FILE} has theirs. Choose another folder for new '
        f'records (--config.data_dir=FOLDER), or delete {old}.'
      )
    digests = Digests(
      folder / 'extracted' / preparation.FAMILY / 'digests.json'
    )
    if catalog.networks(old) == dict(networks_of(digests)):
      return
  stamps = media_dir or debian.fetch(**PACKAGE, cache=folder / 'downloads')
  media = generation.generate(
    folder / 'generated' / FAMILY, pathlib.Path(stamps).expanduser(), chosen
  )
  preparation.prepare(
    'untrimmed' if part == casting.UNTRIMMED else 'clips',
    data_dir=data_dir,
    media_dir=str(media / listing.MANIFESTS[part]),
    networks_of=networks_of,
    make_extractor=make_extractor,
    make_builder=builder.NarratedVideos,
    limits=limits,
    workers=workers,
    title=name,
  )
