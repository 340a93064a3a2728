"""Extracts what is new of a collection, several files at once."""

import collections
import pathlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence

from avl_jax import logs
from avl_jax.extraction import workers as pool
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.extraction.progress import Progress
from avl_jax.features import Status
from input_pipeline.datasets.own_videos import tables
from input_pipeline.datasets.own_videos.extracted import (
  Extracted,
  LazyExtractor,
  Recipe,
)
from input_pipeline.datasets.own_videos.tables import Line


def extract(
  title: str,
  lines: Sequence[Line],
  recipe: Recipe,
  workers: int,
) -> Extracted:
  """Extracts what is new; prints how fast, and what took the time.

  Features do not depend on the number of workers. Whenever the work ends, what
  has been extracted is kept: at most the files in the workers' hands are lost.

  Args:
    title: of the data set.
    lines: of all files. Those that cannot be used are set aside.
    recipe: of the features.
    workers: see `workers.number`; without Apache Beam.

  Raises:
    UserError, OSError: the disk is full, or another fault of the machine.
  """
  extractor = LazyExtractor(recipe.make_extractor)
  extracted, began = recipe.use(extractor, None), time.perf_counter()
  new: dict[pathlib.Path, list[Line]] = {}  # lines of the same piece
  for line in tables.usable(lines):
    if not extracted.is_known(line):
      new.setdefault(extracted.key(line), []).append(line)
  if not new:
    return extracted
  if recipe.beam:
    from input_pipeline.datasets.own_videos import on_beam

    on_beam.extract(title, new.values(), recipe)
    return extracted
  extractor.open()
  count = min(pool.number(workers), len(new))
  with pool.Workers(count, Decoder(recipe.limits)) as threads:
    of_thread = {d: recipe.use(extractor, d) for d in threads.decoders}

    def work(piece: Sequence[Line], decoder: Decoder) -> None:
      for line in piece:  # The first one's features are all the others need.
        if not of_thread[decoder].is_known(line):
          of_thread[decoder].extract(line)

    _show(title, lines, new.values(), threads.each(new.values(), work))
  used, elapsed = [*of_thread.values()], time.perf_counter() - began
  _tell(title, used, extractor.seconds, elapsed)
  return extracted


def _show(
  title: str,
  lines: Sequence[Line],
  new: Collection[Sequence[Line]],
  done: Iterator[Sequence[Line]],
) -> None:
  """Waits for the new pieces, and shows a bar, see `Progress`."""
  failed = [line.status for line in lines if line.status != Status.OK]
  count = len(lines) - len(failed)
  known = count - sum(map(len, new))
  with Progress(title, count, known, failed) as progress:
    for piece in done:
      progress.add(
        len(piece),
        piece[0].seconds,
        [line.status for line in piece if line.status != Status.OK],
      )


def _tell(
  title: str,
  workers: Sequence[Extracted],
  of_networks: Mapping[str, float],
  elapsed: float,
) -> None:
  """Prints how fast the work was, and what took the time of the workers."""
  parts: dict[str, float] = collections.defaultdict(float, of_networks)
  for worker in workers:
    for part, seconds in worker.extraction.seconds.items():
      parts[part] += seconds
  if of_networks:
    parts.pop('features', None)  # It is the sum of the networks' own parts.
  whole = elapsed * len(workers)
  parts['other'] = max(0.0, whole - sum(parts.values()))
  shares = ', '.join(
    f'{name} {seconds / whole:.0%}'
    for name, seconds in sorted(parts.items(), key=lambda part: -part[1])
  )
  count = sum(worker.count for worker in workers)
  seconds = sum(worker.seconds for worker in workers)
  who = f'{len(workers)} workers' if len(workers) > 1 else 'one worker'
  logs.write(
    f'{title}: extracted {count:,} files with {seconds / 3600:.2f} hours of '
    f'video in {elapsed:.0f} s: {seconds / elapsed:.1f} hours of video an '
    f'hour. Of the time of {who}: {shares}.'
  )
