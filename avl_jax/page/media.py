"""Files, pictures and clips for clients; made ones are cached."""

import asyncio
import io
import mimetypes
import pathlib
from collections.abc import Awaitable, Callable

import numpy as np
from PIL import Image

from avl_jax.extraction import media_folder
from avl_jax.extraction.decoding.decoded_file import DecodedFile
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.features import NoPictureError, RefusedError, TooShortError
from avl_jax.page.cache import Cache
from avl_jax.page.items import Item
from avl_jax.page.worker_queue import WorkerQueue

WIDTHS = (160, 320, 640, 1280)  # of pictures, in pixels
_QUALITY = 80  # of JPEG
_MOMENT = 1 / 25  # s; a picture is looked for in it, then in the second before
_CLIP_SIZE = 720  # shorter side of a clip at most, in pixels
_CLIP_BYTES = 128 * 2**20  # of a clip
_TYPES = {
  '.mkv': 'video/x-matroska',
  '.mka': 'audio/x-matroska',
  '.opus': 'audio/ogg',
  '.m4a': 'audio/mp4',
}


def media_type(path: str) -> str:
  """MIME type of a media file, by its suffix."""
  suffix = pathlib.PurePath(path).suffix.lower()
  found = _TYPES.get(suffix) or mimetypes.guess_type(f'x{suffix}')[0] or ''
  is_media = found.startswith(('video/', 'audio/', 'image/'))
  return found if is_media else 'application/octet-stream'


class Maker:
  """Makes clips and pictures, once for all simultaneous requests."""

  def __init__(
    self, quick: WorkerQueue[Decoder], slow: WorkerQueue[Decoder], cache: Cache
  ):
    """Takes what works.

    Args:
      quick: decodes single pictures.
      slow: cuts clips, for which pictures do not wait.
      cache: keeps both.
    """
    self._quick, self._slow, self._cache = quick, slow, cache
    self._making: dict[str, tuple[asyncio.Task, list]] = {}

  async def frame(
    self, item: Item, path: pathlib.Path, time: float, width: int
  ) -> pathlib.Path:
    """The file of a JPEG.

    Args:
      item: a video or a picture.
      path: of its file.
      time: of the moment, seconds.
      width: of the picture at most, of `WIDTHS`.

    Raises:
      MediaError: there is no picture, or it cannot be decoded.
    """
    if item.kind == media_folder.SOUND:
      raise NoPictureError(f'{item.name} is sound. It has no pictures.')
    is_still = item.kind == media_folder.PICTURE
    # A hundredth of a second, so that equal moments have equal names.
    time = 0.0 if is_still else round(min(time, item.file.seconds), 2)

    def make(media: DecodedFile) -> bytes:
      if is_still:
        return _jpeg(media.picture(2 * width), width)
      return _jpeg(_at(media, time, width), width)

    name = f'{item.id}-{time}-{width}.jpg'
    return await self._made(self._quick, name, path, make)

  async def clip(
    self, item: Item, path: pathlib.Path, start: float, end: float
  ) -> pathlib.Path:
    """The file of a piece as MP4, see `transcoding.clip`.

    Args:
      item: a video or sound.
      path: of its file.
      start: of the piece, seconds.
      end: of the piece, seconds.

    Raises:
      MediaError: it is a picture, or cannot be decoded.
    """
    if item.kind == media_folder.PICTURE:
      raise RefusedError(f'{item.name} is a picture. It has no clips.')
    start, end = round(start, 2), round(end, 2)

    def make(media: DecodedFile) -> bytes:
      return media.clip(start, end, _CLIP_SIZE, _CLIP_BYTES).tobytes()

    name = f'{item.id}-{start}-{end}.mp4'
    return await self._made(self._slow, name, path, make)

  async def _made(
    self,
    workers: WorkerQueue[Decoder],
    name: str,
    path: pathlib.Path,
    make: Callable[[DecodedFile], bytes],
  ) -> pathlib.Path:
    """The file of a name in the cache, made if it is not there."""
    if found := self._cache.find(name):
      return found

    async def work() -> pathlib.Path:
      return await workers.run(
        lambda decoder: self._cache.add(name, decoder.run(path, make))
      )

    return await self._shared(name, work)

  async def _shared(
    self, name: str, work: Callable[[], Awaitable[pathlib.Path]]
  ) -> pathlib.Path:
    """Does once what several wait for; given up when the last one leaves."""
    if name not in self._making:
      task = asyncio.ensure_future(work())
      self._making[name] = (task, [])
    task, waiting = self._making[name]
    waiting.append(None)
    try:
      return await asyncio.shield(task)
    finally:
      waiting.pop()
      if not waiting:  # The last one leaves, with or without the result.
        del self._making[name]
        task.cancel()


def _at(media: DecodedFile, time: float, width: int) -> np.ndarray:
  """The picture that is shown at a moment, or the last one before it."""
  size = max(90, width * 9 // 16)
  for start, end in ((time, time + _MOMENT), (max(0, time - 1), time + 1)):
    fps = 1 / _MOMENT if start == time else 5
    pictures = list(media.frames(fps, size, False, start, end))
    if pictures:
      return pictures[0 if start == time else -1]
  raise TooShortError(f'There is no picture at {time:g} s.')


def _jpeg(pixels: np.ndarray, width: int) -> bytes:
  """A JPEG, at most so wide."""
  picture = Image.fromarray(pixels)
  picture.thumbnail((width, 4 * width))
  file = io.BytesIO()
  picture.save(file, 'JPEG', quality=_QUALITY)
  return file.getvalue()
