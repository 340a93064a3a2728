"""Makes the index of a folder, or brings it up to date, a file at a time.

The order: verify the vectors, list the files, read what may be new of them for
their digests, take out of the index what is gone or damaged, rename what has
moved, then extract, embed and add what is new, each file as a whole. Whenever
the work ends, the index is that of the files that are done, and what has been
extracted is kept.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from avl_jax import logs
from avl_jax.errors import UserError
from avl_jax.extraction import media_folder, workers
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.extraction.progress import Progress
from avl_jax.features import MediaError
from avl_jax.files import write_atomically
from avl_jax.search.store.index import Index, IndexedFile
from avl_jax.search.update import adding, differences, progress, provenance
from avl_jax.search.update.differences import Failure, Found, Plan
from avl_jax.search.update.file_features import FileFeatures
from avl_jax.search.update.window_vectors import WindowVectors
from avl_jax.trained_model import TrainedModel

ROOT = 'media.json'  # of an index: the folder of its files
_MOVING = '.moving/'  # No path of a file: names with a dot are not listed.


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What an update has done.

  Attributes:
    plan: of the update.
    added: new and changed files that are in the index now.
    failures: files that cannot be used, those of earlier updates included.
  """

  plan: Plan
  added: list[IndexedFile]
  failures: list[Failure]


def update(
  index: Index,
  trained: TrainedModel,
  media_dir: pathlib.Path,
  features: FileFeatures,
  *,
  workdir: str | os.PathLike,
  remembered: Sequence[IndexedFile] = (),
  limits: Limits | None = None,
  num_workers: int = 0,
) -> Outcome:
  """Makes an index that of a folder.

  Args:
    index: open for writing, of the model.
    trained: the model.
    media_dir: folder of the files.
    features: keeps what is extracted.
    workdir: of the run that has the model, see `provenance`.
    remembered: files whose content is known, beside those of the index.
    limits: of what a file may cost; None: the usual ones.
    num_workers: files that are decoded at once, see `workers.number`.

  Raises:
    UserError: the folder is missing, has no media, is a part of the one that
      was indexed, or another one without most of its files; or the disk is
      full, or another fault of the machine. What is in the index stays.
  """
  damaged = {f.path for f in index.files() if [*index.damage_of(f.path)]}
  known = [file for file in index.files() if file.path not in damaged]
  found, failures = differences.look(media_dir, [*remembered, *known])
  plan = differences.plan(known, found, failures)
  _check(index, media_dir, plan)
  provenance.write(index.folder, workdir)
  root = json.dumps({'media_dir': str(media_dir.resolve())})
  write_atomically(index.folder / ROOT, f'{root}\n')
  _rearrange(index, plan, damaged)
  kept = index.files()
  entered = [adding.failure_of(index, file) for file in kept]
  outcome = Outcome(plan, [], [*plan.failures, *filter(None, entered)])
  like = index.description
  embed = WindowVectors(trained, like.names, longest=like.window)
  add = adding.Adder(index, features, embed)
  with _shown(index, plan, outcome) as show:
    for file, error in _extracted(plan.new, features, limits, num_workers):
      done = add(file, error)
      if isinstance(done, Failure):
        outcome.failures.append(done)
      else:
        outcome.added.append(done)
      show(done)
  index.compact()
  return outcome


@contextlib.contextmanager
def _shown(
  index: Index, plan: Plan, outcome: Outcome
) -> Iterator[Callable[[IndexedFile | Failure], None]]:
  """Context with a function that shows, here and elsewhere, what is done."""
  known = len(index.files())
  total = len(plan.new) + known
  failed = [failure.status for failure in outcome.failures]
  with (
    Progress('indexing', total, known, failed) as bar,
    progress.Published(index.folder, total, known) as published,
  ):

    def show(done: IndexedFile | Failure) -> None:
      if is_failure := isinstance(done, Failure):
        bar.add(failed=[done.status])
      else:
        bar.add(seconds=done.seconds)
      published.add(is_failure)

    yield show


def _extracted(
  new: Sequence[Found],
  features: FileFeatures,
  limits: Limits | None,
  num_workers: int,
) -> Iterator[tuple[Found, MediaError | None]]:
  """Extracts files, several at once; yields each with its error."""
  count = min(workers.number(num_workers), len(new))
  errors: dict[str, MediaError] = {}
  with workers.Workers(count, Decoder(limits)) as threads:
    of_thread = {decoder: features.by(decoder) for decoder in threads.decoders}

    def extract(file: Found, decoder: Decoder) -> None:
      try:
        of_thread[decoder](file.file, file.content)
      except MediaError as error:
        errors[file.path] = error

    for file in threads.each(new, extract):
      yield file, errors.pop(file.path, None)


def _check(index: Index, media_dir: pathlib.Path, plan: Plan) -> None:
  """Raises UserError if an update would drop files by mistake."""
  here = [*plan.kept, *plan.moved, *plan.new]
  if not here:
    lines = ''.join(f'\n  {failure}' for failure in plan.failures[:5])
    raise UserError(
      'There is no video, picture or sound file that can be opened in '
      f'{media_dir} or in folders below. The index has {len(plan.gone):,} '
      'files and stays as it is. Set --config.search.media_dir to the folder '
      f'of the media.{lines}'
    )
  before = media_dir_of(index.folder)
  folder = media_dir.resolve()
  if before in (None, folder):
    return
  is_other = len(plan.kept) + len(plan.moved) < len(plan.gone)
  if plan.gone and (before in folder.parents or is_other):
    raise UserError(
      f'The index {index.folder} is of the folder {before}. Of its files, '
      f'{len(plan.gone):,} are not in {media_dir}, such as {plan.gone[0]}. It '
      'stays as it is. Name the folder of another index, '
      '--config.search.index=FOLDER, or replace this one, '
      '--config.search.rebuild=True.'
    )


def media_dir_of(folder: pathlib.Path) -> pathlib.Path | None:
  """The folder of the files of an index; None: it is not known."""
  try:
    return pathlib.Path(json.loads((folder / ROOT).read_bytes())['media_dir'])
  except (OSError, KeyError, TypeError, ValueError):
    return None


def _rearrange(index: Index, plan: Plan, damaged: Collection[str]) -> None:
  """Takes files out and gives files their new paths, in one step."""
  if damaged:
    names = ', '.join(map(media_folder.spelled, sorted(damaged)))
    logs.write(f'The vectors of {names} are damaged. They are made again.')
  changes: list[dict[str, Any]] = [
    {'drop': path} for path in [*plan.gone, *damaged]
  ]
  files = {file.path: file for file in index.files()}

  def move(old: str, now: str, path: str, modified: int) -> None:
    file = dataclasses.replace(files[old], path=path, modified=modified)
    changes.append({'move': dataclasses.asdict(file), 'from': now})

  sources = {old for old, new in plan.moved if old != new.path}
  targets = {new.path for old, new in plan.moved if old != new.path}
  aside = {}
  for old in sorted(sources & targets):  # Two files may have swapped names.
    aside[old] = f'{_MOVING}{old}'
    move(old, old, aside[old], 0)
  for old, new in plan.moved:
    move(old, aside.get(old, old), new.path, new.trusted)
  if changes:
    index.commit(*changes)
