"""--mode=search: queries an index with the model of a run."""

import contextlib
import functools
import pathlib
import sys

import numpy as np
from ml_collections import ConfigDict

from avl_jax import logs, trained_model
from avl_jax.errors import ConfigError, UserError
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.modes import folders
from avl_jax.modes.pipeline import InputPipeline
from avl_jax.search.query import backgrounds, confidence
from avl_jax.search.query.searcher import Searcher


def search(
  config: ConfigDict, workdir: pathlib.Path, pipeline: InputPipeline
) -> None:
  """Prints what answers `search.query` or `search.words` in `search.index`.

  Standard output is the table alone, or one JSON object (`search.json`). What
  else is to be said goes to standard error.

  Raises:
    UserError: a setting, the index, the model or the question is not as
      expected.
  """
  folders.index_folder(config)
  options = config.search
  if bool(options.query) == bool(options.words):
    raise ConfigError(
      f'search.query is {options.query!r} and search.words is '
      f'{options.words!r}. Expected one of them. Set '
      "--config.search.query=FILE ('-': standard input) or "
      '--config.search.words=TEXT.'
    )
  with contextlib.redirect_stdout(sys.stderr):
    limits = Limits(**config.prepare.decoding)
    found = opened(config, workdir, pipeline, limits).search(
      options.query or None,
      words=options.words,
      part=options.part,
      answers=options.answers,
      count=options.count,
      threshold=options.threshold,
    )
  print(found.to_json() if options.json else found.table())


def opened(
  config: ConfigDict,
  workdir: pathlib.Path,
  pipeline: InputPipeline,
  limits: Limits,
) -> Searcher:
  """Opens `search.index`, to be asked with the model of a run.

  Args:
    config: of the run.
    workdir: of the run.
    pipeline: reads the run's validation recordings.
    limits: of what a question's file may cost.

  Raises:
    UserError: see `Searcher`.
  """
  load = functools.partial(
    trained_model.load,
    resnet152=config.prepare.resnet152,
    resnext101=config.prepare.resnext101,
    vectors=config.words.vectors,
  )
  return Searcher(
    config.search.index,
    workdir,
    media_dir=config.search.media_dir or None,
    limits=limits,
    load=load,
    recordings=lambda searcher: _recordings(searcher, config, pipeline),
  )


def _recordings(
  searcher: Searcher, config: ConfigDict, pipeline: InputPipeline
) -> np.ndarray | None:
  """Vectors of the run's validation recordings; None: they are not there.

  They are the recordings whose scores have selected the checkpoint.
  """
  if (kept := searcher.kept_recordings()) is not None:
    return kept
  name, _, rest = config.best_metric.partition('/')
  split = rest.partition('/')[0]
  if name not in config.eval_data.evaluations:
    return None
  evaluations = {name: config.eval_data.evaluations[name]}
  try:
    batches = pipeline.eval_batches(
      **{**config.eval_data, 'evaluations': evaluations},
      data_dir=config.data_dir,
    )[name]
    vectors = _embed(searcher, batches, split)
  except UserError as error:
    logs.write(
      f"The run's validation recordings are not there ({error}) The index's "
      'own sound takes their place.'
    )
    return None
  if len(vectors) < confidence.LEAST:
    logs.write(
      f'The run has {len(vectors)} validation recordings, fewer than '
      f"{confidence.LEAST}. The index's own sound takes their place."
    )
  try:
    backgrounds.write(searcher.workdir, searcher.model, vectors)
  except UserError as error:  # They are embedded again the next time.
    logs.write(f"The run's validation recordings are not kept: {error}")
  return vectors


def _embed(searcher: Searcher, batches, split: str) -> np.ndarray:
  """Vectors float32 [B, D] of the recordings of a split."""
  parts = [np.zeros((0, searcher.index.description.dim), np.float32)]
  for batch in batches:
    inputs = {key: batch[key] for key in ('spectrogram', 'num_frames')}
    vectors = searcher.trained.embed_batch(inputs)['audio']
    parts.append(vectors[batch['subset'] == split])
  return np.concatenate(parts)
