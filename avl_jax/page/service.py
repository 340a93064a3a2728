"""Puts the parts of the server together around a model and its index."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from avl_jax import logs
from avl_jax.errors import UserError
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.features import SAMPLE_RATE
from avl_jax.page import temporary_folder
from avl_jax.page.answering import Answering
from avl_jax.page.app import Page
from avl_jax.page.cache import Cache
from avl_jax.page.library import Library
from avl_jax.page.media import Maker
from avl_jax.page.middleware import Guard
from avl_jax.page.options import Options
from avl_jax.page.playback import Playback
from avl_jax.page.worker_queue import WorkerQueue
from avl_jax.search.query.searcher import Searcher

_WAITING = 400  # pictures and clips that may wait; a page asks for ten at once
_MEMORY = 2 * 2**30  # bytes that decoding may take at most


def limits_of(limits: Limits, options: Options) -> Limits:
  """The limits of questions.

  Args:
    limits: of the media of the index.
    options: of the server.
  """
  return dataclasses.replace(
    limits_of_media(limits), longest_seconds=options.question_seconds
  )


def limits_of_media(limits: Limits) -> Limits:
  """The limits of decoding the media for clients."""
  return dataclasses.replace(limits, memory=min(limits.memory, _MEMORY))


@contextlib.contextmanager
def made(
  searcher: Searcher, options: Options, limits: Limits, threshold: float
) -> Iterator[Guard]:
  """Context with the application; its threads and children end with it.

  Args:
    searcher: the model and its index; of the limits `limits_of`.
    options: of the server.
    limits: of the media of the index.
    threshold: see `Searcher.answer`.

  Raises:
    UserError: the model cannot be loaded, or the index is of another one.
  """
  token = options.token()
  library = Library(searcher.index.folder, searcher.media_dir)
  first = Decoder(limits_of_media(limits))
  second = first.sibling()
  facts, background = _warm_up(searcher)
  with temporary_folder.folder() as folder, contextlib.ExitStack() as stack:
    kept = folder / 'cache'
    if options.cache_dir:
      kept = pathlib.Path(options.cache_dir).expanduser()
    cache = Cache(kept, options.cache_bytes)
    asking = WorkerQueue([searcher], options.askers)
    quick = WorkerQueue([first], _WAITING)
    slow = WorkerQueue([second], _WAITING)
    stack.callback(first.close)
    stack.callback(second.close)
    for workers in (asking, quick, slow):
      stack.callback(workers.close)
    plays = Playback(quick, library)
    answering = Answering(asking, library, plays, threshold, options, folder)
    answering.background = background
    maker = Maker(quick, slow, cache)
    own = [searcher.workdir, kept, folder]
    page = Page(options, library, maker, answering, plays, facts, own)
    yield page.app(token)


def _warm_up(searcher: Searcher) -> tuple[dict[str, Any], int]:
  """Loads and compiles what questions need; facts, background questions."""
  noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE)
  found = searcher.search(0.1 * noise.astype(np.float32), rate=SAMPLE_RATE)
  try:
    searcher.search(np.full((64, 64, 3), 128, np.uint8))
  except UserError as error:  # Its networks are not there; sound is asked.
    logs.write(f'Pictures cannot be asked: {error}')
  names = searcher.index.description.names
  facts = {
    'name': searcher.workdir.name,
    'model': searcher.model,
    'reads_text': bool(searcher.trained.model.word_dim),
    'answers': list(names),
  }
  return facts, found.background
