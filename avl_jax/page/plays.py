"""How a browser shows a file: as it is, as clips that are made, as stills."""

from typing import Any

from avl_jax.errors import UserError
from avl_jax.extraction import media_folder
from avl_jax.extraction.decoding import Decoder
from avl_jax.features import MissingError
from avl_jax.page.errors import BusyError
from avl_jax.page.items import Item
from avl_jax.page.lanes import Lane
from avl_jax.page.library import Library

NATIVE, TRANSCODED, STILLS = 'native', 'transcoded', 'stills'
_KEPT = 100_000  # files whose streams are remembered
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


class Plays:
  """Knows of each file what a browser can do with it."""

  def __init__(self, lane: Lane[Decoder], library: Library):
    """Takes what opens files."""
    self._lane, self._library = lane, library
    self._known: dict[str, dict[str, Any]] = {}

  async def __call__(self, item: Item) -> dict[str, Any]:
    """What the API says: how a file plays, its kind, whether it is missing."""
    missing = not self._library.is_there(item)
    return {**await self._how(item), 'missing': missing}

  async def _how(self, item: Item) -> dict[str, Any]:
    if item.kind == media_folder.PICTURE:
      return {'plays': STILLS}
    if item.id not in self._known:
      try:
        path = self._library.path(item)
        streams = await self._lane.run(
          lambda decoder: decoder.run(path, lambda media: media.streams())
        )
        found = {'plays': of_streams(item.name, streams)}
        if not streams.get('video'):  # An .mp4 may be sound alone.
          found['kind'] = media_folder.SOUND
      except BusyError:
        return {'plays': TRANSCODED}  # Which every file can be.
      except MissingError:
        return {'plays': STILLS}
      except UserError:
        found = {'plays': STILLS}
      if len(self._known) >= _KEPT:
        self._known.clear()
      self._known[item.id] = found
    return self._known[item.id]


def of_streams(name: str, streams: dict[str, str]) -> str:
  """How a browser shows a file of these streams, see `transcoding.streams`."""
  kind = streams.get('format', '')
  pictures, sounds = _FORMATS.get(kind, ((), ()))
  is_native = (
    streams.get('video') in pictures
    and streams.get('audio') in sounds
    and streams.get('pixels') in _PIXELS
    and (kind != 'matroska,webm' or name.lower().endswith(_WEBM))
  )
  return NATIVE if is_native else TRANSCODED
