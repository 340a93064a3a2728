"""Prepares own videos: only what has changed, and all or nothing.

The order: list the files, read what is new of them for their digests, find
speech if clips of it are asked for, extract the features of contents that have
none, divide the videos, write records of a new version if the content has
changed, delete the old version. Until the new records are complete, the old
ones are valid.
"""

import pathlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from avl_jax import logs
from avl_jax.backbones import network_names
from avl_jax.errors import UserError
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.files import InUseError, Lock
from input_pipeline.datasets.own_videos import (
  builder,
  extracting,
  manifest,
  speech,
  speech_clips,
  splits,
  survey,
  tables,
)
from input_pipeline.datasets.own_videos.digests import Digests
from input_pipeline.datasets.own_videos.extracted import Recipe
from input_pipeline.datasets.own_videos.speech_clips import Choice
from input_pipeline.datasets.own_videos.tables import Line
from input_pipeline.records import catalog

FAMILY = 'own_videos'
_WAIT = 1.0  # seconds, until a lock is tried again


def prepare(
  kind: str,
  *,
  data_dir: str,
  media_dir: str,
  networks_of: Callable[[Digests], Mapping[str, str]],
  make_extractor: Callable[[], Callable[..., Mapping]],
  make_builder: Callable[..., builder.OwnVideos] = builder.OwnVideos,
  title: str = '',
  clips: Choice | None = None,
  limits: Limits | None = None,
  workers: int = 1,
  beam: str = '',
) -> None:
  """Makes the records of a folder or manifest, or brings them up to date.

  Args:
    kind: 'untrimmed' or 'clips'.
    data_dir: folder of the records; '': see `catalog.data_folder`.
    media_dir: FOLDER, MANIFEST.csv or MANIFEST.csv:FOLDER.
    networks_of: names the networks; gets the function that digests files.
    make_extractor: reads their weights.
    make_builder: the class of the records' builder.
    title: name of the records, 'DATASET/CONFIG'; '': own_videos/KIND.
    clips: which stretches of speech are the clips; None: those of the list.
    limits: of what a video may cost; None: the usual ones.
    workers: videos that are decoded at once; 0: see `workers.number`.
    beam: see `beam_options`; '': without Apache Beam.

  Raises:
    UserError: the list is malformed, or old records are of other networks.
  """
  title = title or f'{FAMILY}/{kind}'
  folder = catalog.data_folder(data_dir).absolute()  # for workers elsewhere
  root, items = survey.read_list(media_dir)
  _check_kind(kind, media_dir, items[0].is_clip, clips is not None)
  captions = manifest.read_captions(root / manifest.CAPTIONS)
  cache = folder / 'extracted' / FAMILY
  with _wait_for_lock(cache):
    digests = Digests(cache / 'digests.json')
    names = networks_of(digests)
    old = _find_old(title, data_dir, names)
    lines = survey.look(root, items, digests, title)
    if clips:
      lines = _cut(title, lines, clips, cache, limits=limits, workers=workers)
    recipe = Recipe(cache, names, make_extractor, limits, beam)
    extracted = extracting.extract(title, lines, recipe, workers)
    _divide(title, lines)
    if old:
      _compare(title, old, lines)
    made = make_builder(
      kind=kind,
      config_name=title.partition('/')[2],
      lines=lines,
      captions=captions,
      extracted=extracted,
      recipe=recipe,
      data_dir=folder,
    )
    _write(made, lines, recipe)


def _wait_for_lock(cache: pathlib.Path) -> Lock:
  """Takes the lock; waits while another preparation or host has it."""
  is_told = False
  while True:
    try:
      return Lock(cache)
    except InUseError:
      if not is_told:
        logs.write(f'Waiting for another preparation that uses {cache}.')
      is_told = True
      time.sleep(_WAIT)


def _check_kind(
  kind: str, media_dir: str, has_times: bool, is_cut: bool
) -> None:
  """Raises UserError if the list has not what the config trains on."""
  if is_cut and (has_times or kind != 'clips'):
    wrong = f'{media_dir} names clips' if has_times else 'the records are whole'
    raise UserError(
      f"prepare.segments is 'speech', but {wrong}. Expected whole videos, of "
      'which clips are made. Use --config=configs/own_videos.py:speech with a '
      "folder, or set prepare.segments to ''."
    )
  if has_times and kind != 'clips':
    raise UserError(
      f'{media_dir} names clips: its lines have a start and an end. Use '
      '--config=configs/own_videos.py:clips.'
    )
  if not has_times and kind == 'clips' and not is_cut:
    raise UserError(
      f'{media_dir} names no clips. Expected a manifest whose lines have a '
      'start and an end. Use --config=configs/own_videos.py for whole videos, '
      'or configs/own_videos.py:speech for clips in which somebody speaks.'
    )


def _find_old(
  title: str, data_dir: str, names: Mapping[str, str]
) -> pathlib.Path | None:
  """The folder of records that exist; UserError: they are of other networks."""
  records = catalog.find(title, data_dir)
  if not records:
    return None
  folder = pathlib.Path(records.data_dir)
  found = catalog.networks(folder)
  if found and dict(found) != dict(names):
    raise UserError(
      f'The records in {folder} have features of {network_names.text(found)}. '
      f'This command names {network_names.text(names)}. Name the same networks '
      '(prepare.resnet152, prepare.resnext101), choose another data_dir, or '
      'delete that folder to extract all features again.'
    )
  return folder


def _cut(
  title: str,
  lines: Sequence[Line],
  clips: Choice,
  cache: pathlib.Path,
  **costs: Any,
) -> list[Line]:
  """Lines of clips of speech in place of those of whole videos.

  `cache` and `costs` are of `speech.find`.

  Raises:
    UserError: the videos that have clips do not fill the splits.
  """
  spoken = speech.find(title, lines, folder=cache, **costs)
  cuts = speech_clips.cut(lines, spoken, clips)
  _divide(title, lines, clips.held_out)
  return speech_clips.choose(title, lines, cuts, clips)


def _divide(
  title: str,
  lines: Sequence[Line],
  held_out: Sequence[tuple[str, float]] = splits.HELD_OUT,
) -> None:
  """Sets the splits; `held_out` as of `splits.divide`.

  Raises:
    UserError: the videos that can be used do not fill the splits.
  """
  named: dict[str, str] = {}
  for line in tables.usable(lines):
    split = named.setdefault(line.digest, line.item.split)
    if split != line.item.split:
      raise UserError(
        f'{line.item.path} is in the splits {split!r} and {line.item.split!r}. '
        'Expected one split for all clips of a video. Correct the manifest.'
      )
  if len(named) < 3 and not any(named.values()):
    raise UserError(
      f'{tables.summary(title, lines)}\n{len(named)} of these videos can be '
      'used. Expected at least 3: one to train on, one to select a checkpoint, '
      'one to test. Add videos, or name the splits in a manifest.'
    )
  chosen = splits.divide(named, held_out)
  for line in tables.usable(lines):
    line.split = chosen[line.digest]


def _compare(title: str, old: pathlib.Path, lines: Sequence[Line]) -> None:
  """Prints what differs from the files of the old records.

  Raises:
    UserError: no file is the same, so they are of another collection.
  """
  before = tables.read_files(old)
  if changes := tables.changes(before, lines):
    logs.write(f'{title}: since the records were made: {changes}.')
  now = {line.digest for line in tables.usable(lines)}
  if before and not now & set(before.values()):
    raise UserError(
      f'The records in {old} are of other videos: they have none of these '
      'files. Choose another folder for the new records '
      f'(--config.data_dir=FOLDER), or delete {old}.'
    )


def _write(
  made: builder.OwnVideos, lines: Sequence[Line], recipe: Recipe
) -> None:
  """Writes records unless this version of them exists; deletes others."""
  folder, title = pathlib.Path(made.data_dir), made.info.full_name
  if folder.is_dir():
    logs.write(f'{title}: the records are up to date.')
    if tables.write(folder, lines):
      logs.write(tables.summary(title, lines))
  else:
    if recipe.beam:
      from input_pipeline.datasets.own_videos import on_beam

      on_beam.write(made, recipe)
    else:
      made.download_and_prepare()
    logs.write(tables.summary(title, lines))
    logs.write(
      f'Prepared {title}: {catalog.sizes(made)}. {folder}/{tables.FILES} '
      f'lists each file with its status; {tables.AVAILABILITY} lists which of '
      'the named videos existed.'
    )
  for version in folder.parent.iterdir():
    if version.is_dir() and version != folder:
      shutil.rmtree(version)  # An older one, or one that was not completed.
