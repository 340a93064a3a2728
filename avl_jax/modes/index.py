"""--mode=index: indexes a folder of media with the model of a run."""

import collections
import contextlib
import pathlib
import shlex
import signal
import time
from collections.abc import Iterator, Sequence

from ml_collections import ConfigDict

from avl_jax import logs, trained_model
from avl_jax.errors import ConfigError, Interrupted, UserError
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.features import HOP_LENGTH, SAMPLE_RATE, Status
from avl_jax.files import InUseError
from avl_jax.modes import folders
from avl_jax.modes.pipeline import InputPipeline
from avl_jax.search.query import compatibility
from avl_jax.search.store.index import Description, Index, IndexedFile
from avl_jax.search.update import building, description, opening
from avl_jax.search.update.building import Outcome
from avl_jax.search.update.differences import Failure
from avl_jax.search.update.file_features import FileFeatures
from avl_jax.train.preemption import SIGNALS

_SHOWN = 5  # files in the summary


def index(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> None:
  """Indexes `search.media_dir` in `search.index` with the model of a run.

  Raises:
    UserError: a setting, the model, a folder or the index is not as expected,
      or no file can be used.
    Interrupted: a signal came; what is in the index stays.
  """
  del pipeline
  folder, options = folders.index_folder(config), config.search
  media_dir = _media_dir(options)
  trained = trained_model.load(
    workdir,
    resnet152=config.prepare.resnet152,
    resnext101=config.prepare.resnext101,
  )
  heard = trained.num_frames * HOP_LENGTH / SAMPLE_RATE
  if heard < options.window:
    logs.write(
      f'The model takes {heard:g} s of sound, so the sound of a window of '
      f'{options.window:g} s is heard up to there. Set --config.search.window '
      'to hear all of each window.'
    )
  kinds = {key: options[key] for key in ('window', 'step', 'names', 'dtype')}
  wanted = description.describe(trained, **kinds)
  features = FileFeatures(folder, wanted.networks, trained.visual)
  command = _command(config, workdir, folder, wanted)
  began = time.perf_counter()
  with (
    _interruptible(),
    opening.opened(folder, wanted, command, options.rebuild) as opened,
  ):
    outcome = building.update(
      opened,
      trained,
      media_dir,
      features,
      workdir=workdir,
      remembered=_remembered(folder),
      limits=Limits(**config.prepare.decoding),
      num_workers=config.prepare.workers,
    )
  _tidy(folder, features)
  with Index.open(folder) as made:
    logs.write(_summary(made, outcome, time.perf_counter() - began))
    if not any(len(made.rows_with(name)) for name in wanted.names):
      raise UserError(
        f'None of the files in {media_dir} can be used; the reasons are '
        'listed above. Expected at least one readable video, picture or sound '
        'file. Set --config.search.media_dir.'
      )


def _media_dir(options: ConfigDict) -> pathlib.Path:
  """The folder that `search.media_dir` names, which must be there."""
  if not options.media_dir:
    raise ConfigError(
      "search.media_dir is ''. Expected a folder. Set "
      '--config.search.media_dir=FOLDER.'
    )
  media_dir = pathlib.Path(options.media_dir)
  if not media_dir.is_dir():
    raise UserError(
      f'There is no folder {media_dir}. Expected one with videos, pictures and '
      'sound files. Set --config.search.media_dir. The index stays as it is.'
    )
  return media_dir


def _remembered(folder: pathlib.Path) -> list[IndexedFile]:
  """The files of an index, which may be about to be made anew."""
  try:
    with Index.open(folder) as before:
      return before.files()
  except UserError:  # There is none, or it is damaged.
    return []


def _command(
  config: ConfigDict,
  workdir: pathlib.Path,
  folder: pathlib.Path,
  wanted: Description,
) -> str:
  """The command that makes the index anew."""
  media_dir = pathlib.Path(config.search.media_dir)
  command = compatibility.rebuilding(folder, wanted, workdir, media_dir)
  for key in ('resnet152', 'resnext101'):
    file = pathlib.Path(config.prepare[key])
    if file.is_file():  # It may have been named in this command alone.
      command += f' --config.prepare.{key}={shlex.quote(str(file))}'
  return command


def _tidy(folder: pathlib.Path, features: FileFeatures) -> None:
  """Deletes features of files that are gone, unless another process writes."""
  with (
    contextlib.suppress(InUseError),
    Index.open(folder, write=True) as index,
  ):
    features.keep_only((file.path, file.content) for file in index.files())


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
  """Context in which SIGTERM and SIGINT raise Interrupted, as soon as can be.

  Unlike in training, no step has to be finished: a file is added as a whole.
  """

  def stop(number: int, _) -> None:
    raise Interrupted(number)

  before = {number: signal.signal(number, stop) for number in SIGNALS}
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def _summary(made: Index, outcome: Outcome, elapsed: float) -> str:
  """Lines: what is in the index, what has been done, which files failed."""
  like, plan = made.description, outcome.plan
  hours = sum(file.seconds for file in made.files()) / 3600
  usable = sum(bool(len(made.rows_of(file.path))) for file in made.files())
  vectors = ', '.join(f'{len(made.rows_with(n)):,} {n}' for n in like.names)
  added = {file.path for file in outcome.added}
  changed = len(added & {*plan.gone})
  counts = {
    'new': len(added) - changed,
    'changed': changed,
    'moved': sum(old != new.path for old, new in plan.moved),
    'gone': len({*plan.gone} - added),
  }
  seconds = sum(file.seconds for file in outcome.added)
  done = ', '.join(f'{n:,} {kind}' for kind, n in counts.items() if n)
  text = (
    f'Index {made.folder}: {usable:,} files of {hours:.2f} hours in '
    f'{made.count:,} windows of {like.window:g} s every {like.step:g} s. '
    f'Vectors: {vectors}, {like.dim} wide, {like.dtype}.\n'
    f'This time: {done or "nothing has changed"}, in {elapsed:.0f} s'
  )
  if seconds:
    text += f' ({seconds / elapsed:.1f} hours of video an hour)'
  return f'{text}.{_failed(outcome.failures)}'


def _failed(failures: Sequence[Failure]) -> str:
  """Sentences about the files that cannot be used: by reason, and the first."""
  if not failures:
    return ''
  counts = collections.Counter(failure.status for failure in failures)
  parts = ', '.join(f'{counts[s]:,} {s}' for s in Status if counts[s])
  text = f' {len(failures):,} files cannot be used: {parts}.'
  text += ''.join(f'\n  {failure}' for failure in failures[:_SHOWN])
  if len(failures) > _SHOWN:
    text += f'\n  and {len(failures) - _SHOWN:,} more'
  return text
