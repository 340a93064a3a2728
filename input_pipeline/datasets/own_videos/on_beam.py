"""Extracts own videos, and makes their records, on Apache Beam.

The workers see the same folders as this process, under the same names: the
videos, the weights and the cache. A pipeline gets a file with a line of JSON
for each piece and leaves one with what became of them, so that it stays small
however many videos there are. The arrays lie in the cache, by content.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import tensorflow_datasets as tfds
from apache_beam.utils import shared

from avl_jax import logs
from avl_jax.errors import UserError
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.features import Status
from avl_jax.files import write_atomically
from input_pipeline.datasets import beam_options
from input_pipeline.datasets.own_videos import examples
from input_pipeline.datasets.own_videos.examples import Captions
from input_pipeline.datasets.own_videos.extracted import (
  LazyExtractor,
  Recipe,
)
from input_pipeline.datasets.own_videos.manifest import Caption, Item
from input_pipeline.datasets.own_videos.tables import Line


def extract(
  title: str, pieces: Collection[Sequence[Line]], recipe: Recipe
) -> None:
  """Extracts pieces; sets status, reason and seconds of their lines.

  Args:
    title: of the data set.
    pieces: the lines of each piece.
    recipe: of the features.

  Raises:
    UserError: the pipeline has failed.
  """
  lines = [line for piece in pieces for line in piece]
  number, texts = 0, []
  for piece in pieces:
    texts.append(json.dumps([number, [_plain(line) for line in piece]]))
    number += len(piece)
  began = time.perf_counter()
  with _scratch(recipe) as folder:
    todo, done = folder / 'pieces.jsonl', folder / 'outcomes.jsonl'
    _write_lines(texts, os.fspath(todo))
    logs.write(f'{title}: Apache Beam extracts {len(lines):,} files.')
    runner, options = beam_options.read(recipe.beam)
    with (
      beam_options.explained(title),
      beam.Pipeline(runner, options) as pipeline,
    ):
      _ = (
        pipeline
        | _elements(todo)
        | 'Extract' >> beam.ParDo(_Extract(recipe))
        | beam.combiners.ToList()
        | 'Write' >> beam.Map(_write_lines, os.fspath(done))
      )
    _set(title, lines, _read_lines(os.fspath(done)))
  seconds = sum(line.seconds for line in lines)
  elapsed = time.perf_counter() - began
  logs.write(
    f'{title}: extracted {len(lines):,} files with {seconds / 3600:.2f} hours '
    f'of video in {elapsed:.0f} s: {seconds / elapsed:.1f} hours of video an '
    'hour.'
  )


def write(made: tfds.core.DatasetBuilder, recipe: Recipe) -> None:
  """Writes the records of a builder whose examples are `generators`.

  Raises:
    UserError: the pipeline has failed.
  """
  runner, options = beam_options.read(recipe.beam)
  config = tfds.download.DownloadConfig(
    beam_runner=runner, beam_options=options
  )
  with _scratch(recipe), beam_options.explained(made.info.full_name):
    made.download_and_prepare(download_config=config)


def generators(
  lines: Mapping[str, Sequence[Line]], captions: Captions, recipe: Recipe
) -> dict[str, beam.PTransform]:
  """Makes what TFDS takes as the examples of each split.

  Args:
    lines: split -> usable lines.
    captions: see `examples`.
    recipe: of the features.
  """
  found = {}
  for split, some in lines.items():
    path = _folder(recipe) / f'{split}.jsonl'
    texts = []
    for line in some:
      said = [dataclasses.astuple(c) for c in captions.get(line.item.id, ())]
      texts.append(json.dumps([_plain(line), said]))
    _write_lines(texts, os.fspath(path))
    make = 'Examples' >> beam.ParDo(_Examples(recipe))
    found[split] = _elements(path) | make
  return found


def _folder(recipe: Recipe) -> pathlib.Path:
  """For the files of a pipeline; the cache, in which it is, is locked."""
  return recipe.folder / 'beam'


@contextlib.contextmanager
def _scratch(recipe: Recipe) -> Iterator[pathlib.Path]:
  """Makes the folder for the time of a pipeline."""
  folder = _folder(recipe)
  shutil.rmtree(folder, ignore_errors=True)  # of a pipeline that was killed
  folder.mkdir(parents=True)
  try:
    yield folder
  finally:
    shutil.rmtree(folder, ignore_errors=True)


class _Tools:
  """What the threads of a worker share: the networks, and the limits."""

  def __init__(self, recipe: Recipe):
    self.extractor = LazyExtractor(recipe.make_extractor)
    self.decoder = Decoder(recipe.limits)


class _Extract(beam.DoFn):
  """Piece -> what became of each of its lines; the arrays are in the cache.

  It yields JSON: number of the line, status, reason, seconds.
  """

  def __init__(self, recipe: Recipe):
    self._recipe, self._shared = recipe, shared.Shared()

  def setup(self) -> None:
    self._tools = self._shared.acquire(lambda: _Tools(self._recipe))
    # Weights that cannot be read are no fault of a file.
    self._tools.extractor.open()

  def start_bundle(self) -> None:
    # A bundle is the work of one thread, and a child ends with its thread.
    self._decoder = self._tools.decoder.sibling()
    self._extracted = self._recipe.use(self._tools.extractor, self._decoder)

  def process(self, text: str) -> Iterator[str]:
    first, fields = json.loads(text)
    for number, line in enumerate(map(_line, fields), first):
      if not self._extracted.is_known(line):
        self._extracted.extract(line)
      beam.metrics.Metrics.counter('own_videos', str(line.status)).inc()
      # Beam's own coders refuse names that are not UTF-8; JSON escapes them.
      yield json.dumps([number, line.status, line.reason, line.seconds])

  def finish_bundle(self) -> None:
    self._decoder.close()


class _Examples(beam.DoFn):
  """Line -> (key, example) of each of its records."""

  def __init__(self, recipe: Recipe):
    self._recipe = recipe

  def setup(self) -> None:
    extractor = LazyExtractor(self._recipe.make_extractor)
    self._extracted = self._recipe.use(extractor, None)

  def process(self, text: str) -> Iterator[tuple[str, dict]]:
    fields, said = json.loads(text)
    said = [Caption(*caption) for caption in said]
    for example in examples.of_line(_line(fields), said, self._extracted):
      yield example['id'], example


def _elements(path: pathlib.Path) -> beam.PTransform:
  """The lines of a file of ours, dealt out to the workers."""
  return (
    beam.Create([os.fspath(path)])
    | 'Read' >> beam.FlatMap(_read_lines)
    | beam.Reshuffle()
  )


def _read_lines(path: str) -> Iterator[str]:
  with open(path, encoding='ascii') as file:
    yield from file


def _write_lines(texts: Iterable[str], path: str) -> None:
  write_atomically(path, ''.join(f'{text}\n' for text in texts))


def _set(title: str, lines: Sequence[Line], outcomes: Iterable[str]) -> None:
  """Sets what became of the lines.

  Args:
    title: of the data set.
    lines: in the order of their numbers.
    outcomes: of `_Extract`.

  Raises:
    UserError: the runner has lost some.
  """
  of_line = {number: found for number, *found in map(json.loads, outcomes)}
  if len(of_line) < len(lines):
    raise UserError(
      f"{title}: Apache Beam's runner returned {len(of_line):,} of "
      f'{len(lines):,} files, and no error. Choose another runner, or run the '
      'same command again: what was extracted is kept.'
    )
  for number, line in enumerate(lines):
    status, reason, line.seconds = of_line[number]
    line.set_aside(Status(status), reason)


def _plain(line: Line) -> dict[str, Any]:
  """JSON of a line whose file is there."""
  return dataclasses.asdict(line) | {'file': os.fspath(line.file or '')}


def _line(fields: dict[str, Any]) -> Line:
  changed: dict[str, Any] = {
    'item': Item(**fields['item']),
    'file': pathlib.Path(fields['file']),
    'stat': tuple(fields['stat']),
    'status': Status(fields['status']),
  }
  return Line(**fields | changed)
