"""Finds speech in own videos, once per content, and remembers it."""

import json
import pathlib
from collections.abc import Sequence

import tqdm

from avl_jax.extraction import video_features
from avl_jax.extraction import workers as pool
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.features import (
  MediaError,
  Status,
  TimedOutError,
  UnexpectedError,
  audio,
  reading,
  speech_segments,
)
from avl_jax.features.speech_segments import Span
from avl_jax.files import write_atomically
from input_pipeline.datasets.own_videos import tables
from input_pipeline.datasets.own_videos.extracted import has_changed
from input_pipeline.datasets.own_videos.tables import Line

_VERSION = f'speech_{video_features.VERSION}_1'  # of decoding; of finding


def find(
  title: str,
  lines: Sequence[Line],
  *,
  folder: pathlib.Path,
  limits: Limits | None,
  workers: int,
) -> dict[str, list[Span]]:
  """Finds the stretches of speech of whole videos.

  What was found lies in a JSON file for each content; whenever the work ends,
  it is kept.

  Args:
    title: of the data set.
    lines: of all files. Those whose sound cannot be used are set aside.
    folder: cache of the collection.
    limits: of what a video may cost.
    workers: see `workers.number`.

  Returns:
    Digest of a usable line -> stretches of speech.

  Raises:
    UserError, OSError: the package that finds speech is not installed, the disk
      is full, or another fault of the machine.
  """
  cache = folder / _VERSION
  found: dict[str, list[Span]] = {}
  new = [line for line in tables.usable(lines) if not _know(cache, line, found)]

  def work(line: Line, decoder: Decoder) -> None:
    if has_changed(line):
      return
    spans, is_certain = _hear(line, decoder)
    if has_changed(line):
      return
    found[line.digest] = spans
    if is_certain:
      known = {'status': line.status, 'reason': line.reason, 'speech': spans}
      write_atomically(_file(cache, line), json.dumps(known) + '\n')

  if new:
    count = min(pool.number(workers), len(new))
    with pool.Workers(count, Decoder(limits)) as threads:
      done = threads.each(new, work)
      for _ in tqdm.tqdm(done, f'{title} speech', len(new), mininterval=1):
        pass
  return found


def _file(cache: pathlib.Path, line: Line) -> pathlib.Path:
  return cache / line.digest[:2] / f'{line.digest}.json'


def _know(
  cache: pathlib.Path, line: Line, found: dict[str, list[Span]]
) -> bool:
  """Takes over what is remembered of a line; whether there is something."""
  try:
    known = json.loads(_file(cache, line).read_bytes())
    status, reason = Status(known['status']), known['reason']
    spans = [Span(*map(float, pair)) for pair in known['speech']]
  except (OSError, KeyError, TypeError, ValueError):
    return False
  found[line.digest] = spans
  line.set_aside(status, reason)
  return True


def _hear(line: Line, decoder: Decoder) -> tuple[list[Span], bool]:
  """Finds the speech of a line; sets its status and reason.

  Returns:
    The stretches, and whether the result is certain to be the content's.
  """
  assert line.file is not None  # of usable lines
  try:
    with reading.guard(line.file):
      waveform = decoder.run(line.file, lambda media: media.waveform())
      audio.check_audible(waveform, str(line.file))
      return speech_segments.find_speech(waveform), True
  except MediaError as error:
    line.set_aside(error.reason, str(error).removeprefix(f'{line.file}: '))
    doubtful = isinstance(error, UnexpectedError | TimedOutError)
    return [], not doubtful
