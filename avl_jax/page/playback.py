"""Playback of a file in browsers: the file itself, made clips, or stills."""

import math
import pathlib
import time
from typing import Any

from starlette.concurrency import run_in_threadpool

from avl_jax import logs
from avl_jax.errors import UserError
from avl_jax.extraction import media_folder
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.features import (
  EmptyMediaError,
  MediaError,
  MissingError,
  Status,
  UnexpectedError,
)
from avl_jax.page.errors import BusyError
from avl_jax.page.items import Item
from avl_jax.page.library import Library
from avl_jax.page.worker_queue import WorkerQueue

NATIVE, TRANSCODED, STILLS = 'native', 'transcoded', 'stills'
_KEPT = 100_000  # files whose streams are remembered
# Seconds after which a file is opened again for which the time was up, say: one
# that always needs too long must not cost each search as much.
_PAUSE = 60.0
# What Chromium, Firefox and Safari play, by FFmpeg's names. Of Matroska only
# WebM is meant.
_FORMATS = {
  'mov,mp4,m4a,3gp,3g2,mj2': (('', 'h264', 'av1'), ('', 'aac', 'mp3')),
  'matroska,webm': (('', 'vp8', 'vp9', 'av1'), ('', 'opus', 'vorbis')),
  'mp3': (('',), ('mp3',)),
  'flac': (('',), ('flac',)),
  'wav': (('',), ('pcm_s16le', 'pcm_u8', 'pcm_f32le')),
  'ogg': (('',), ('opus', 'vorbis', 'flac')),
  'aac': (('',), ('aac',)),
}
_PIXELS = ('', 'yuv420p', 'yuvj420p')
_WEBM = ('.webm', '.weba')

_State = tuple[int, int]  # when a file was last changed, its size in bytes


class Playback:
  """Knows of each file what a browser can do with it."""

  def __init__(self, workers: WorkerQueue[Decoder], library: Library):
    """Takes what opens files."""
    self._workers, self._library = workers, library
    # Id of a file -> its state, what is known of it, and until when
    # (`time.monotonic`). One that is still being copied is another one later.
    self._known: dict[str, tuple[_State, dict[str, Any], float]] = {}

  async def __call__(self, item: Item) -> dict[str, Any]:
    """What the API says: how a file plays, its kind, whether it is missing."""
    path, state = await run_in_threadpool(self._find, item)
    how = {'plays': STILLS}
    if path and state and item.kind != media_folder.PICTURE:
      how = await self._how(item, path, state)
    return {**how, 'missing': not path}

  def _find(self, item: Item) -> tuple[pathlib.Path | None, _State | None]:
    """Path and state of a file; None: it is not there, or cannot be asked."""
    try:
      path = self._library.path(item)
    except MissingError:
      return None, None
    try:
      stat = path.stat()
    except OSError:
      return path, None
    return path, (stat.st_mtime_ns, stat.st_size)

  async def _how(
    self, item: Item, path: pathlib.Path, state: _State
  ) -> dict[str, Any]:
    known, found, until = self._known.get(item.id, (None, {}, 0.0))
    if known != state or time.monotonic() > until:
      try:
        found, until = await self._opened(item, path)
      except BusyError:
        return {'plays': TRANSCODED}  # Which every file can be.
      if len(self._known) >= _KEPT:
        self._known.clear()
      self._known[item.id] = state, found, until
    return found

  async def _opened(
    self, item: Item, path: pathlib.Path
  ) -> tuple[dict[str, Any], float]:
    """Playback and kind of a file, and until when they are cached."""
    try:
      streams = await self._workers.run(
        lambda decoder: decoder.run(path, lambda media: media.streams())
      )
    except BusyError:
      raise
    except (UserError, OSError) as error:
      if _is_lasting(error):
        return {'plays': STILLS}, math.inf
      logs.write(f'{item.file.path} is shown as stills for now: {error}')
      return {'plays': STILLS}, time.monotonic() + _PAUSE
    found = {'plays': of_streams(item.name, streams)}
    if not streams.get('video'):  # An .mp4 may be sound alone.
      found['kind'] = media_folder.SOUND
    return found, math.inf


def _is_lasting(error: Exception) -> bool:
  """Whether the same file will raise it again: its content is the cause.

  It is not if time is up, the decoder ends or does not start, or the system
  does not give the file.
  """
  return (
    isinstance(error, MediaError)
    and error.reason in (Status.UNREADABLE, Status.REFUSED)
    and not isinstance(error, EmptyMediaError | UnexpectedError)
    and not isinstance(error.__cause__, OSError)
  )


def of_streams(name: str, streams: dict[str, str]) -> str:
  """Playback of a file with these streams, see `transcoding.streams`."""
  kind = streams.get('format', '')
  pictures, sounds = _FORMATS.get(kind, ((), ()))
  is_native = (
    streams.get('video') in pictures
    and streams.get('audio') in sounds
    and streams.get('pixels') in _PIXELS
    and (kind != 'matroska,webm' or name.lower().endswith(_WEBM))
  )
  return NATIVE if is_native else TRANSCODED
