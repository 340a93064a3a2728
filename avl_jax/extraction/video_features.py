"""Extracts spectrograms and visual features of raw videos, each once.

Results are cached in a folder, one file per piece of a video, so that an
interrupted preparation, which may take days, can resume.
"""

import collections
import math
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from avl_jax.extraction import feature_cache
from avl_jax.extraction.decoding import Decoder
from avl_jax.features import (
  MissingError,
  NetworkError,
  TooShortError,
  UnexpectedError,
  UnsafeNameError,
  audio,
  reading,
)
from avl_jax.files import OutsideError, inside

VERSION = 2  # of decoding: features that an earlier one extracted are not used
SUFFIXES = ('.mp4', '.mkv', '.webm', '.avi')

# (path, start, end or None, see `feature_extractor.Frames`) ->
# {'visual_2d': [S, V], 'visual_3d': [S', V']}
Extractor = Callable[
  [pathlib.Path, float, float | None, Callable[..., Iterator[np.ndarray]]],
  Mapping[str, np.ndarray],
]


class VideoFiles:
  """The video files below a folder, by name without suffix.

  If the folder has a subfolder `videos`, only that one is searched. Links to
  folders are not followed, and links to files must not lead out of the folder.
  If several files have the same name, the first one is taken, in the order of
  folders, then of names, that has content and does not lead out of the folder.

  Attributes:
    root: the folder that is searched.

  Example:
    files = VideoFiles(pathlib.Path('media'))
    path = files('dQw4w9WgXcQ')  # media/videos/a/dQw4w9WgXcQ.mp4
  """

  def __init__(self, root: pathlib.Path):
    """Lists the files without opening them."""
    videos = root / 'videos'
    self.root = videos if videos.is_dir() else root
    self._names: dict[str, str] = {}
    self._others: dict[str, list[str]] = {}  # of the same name, later in order
    for folder, folders, files in os.walk(self.root):
      folders.sort()
      for file in sorted(files):
        stem, suffix = os.path.splitext(file)
        if suffix.lower() in SUFFIXES:
          path = os.path.relpath(os.path.join(folder, file), self.root)
          if stem in self._names:
            self._others.setdefault(stem, []).append(path)
          else:
            self._names[stem] = path

  def __contains__(self, video: str) -> bool:
    """Whether there is a file of this name."""
    return video in self._names

  def __call__(self, video: str) -> pathlib.Path:
    """Returns the path of a video.

    Raises:
      MissingError: no file has this name.
      UnsafeNameError: the name or a link leads out of the folder.
    """
    if not video or '..' in video.split('/') or set(video) & set('/\\\0'):
      raise UnsafeNameError(
        f'{video!r} is not a file name. Expected a name without a folder.'
      )
    if video not in self._names:
      kinds = ', '.join(SUFFIXES)
      raise MissingError(f'{video} ({kinds}) is not below {self.root}.')
    for name in (self._names[video], *self._others.get(video, ())):
      try:
        path = inside(self.root, name)
        if video not in self._others or path.stat().st_size:
          return path
      except (OutsideError, OSError):  # perhaps a link that leads nowhere
        continue
    try:
      return inside(self.root, self._names[video])
    except OutsideError as error:
      raise UnsafeNameError(str(error)) from error


class Extraction:
  """Extracts the model's inputs from a video or a piece of it, with a cache.

  Videos are decoded in a child process, because they may be strangers' files.

  Attributes:
    widths: V of each visual stream: 'visual_2d' and perhaps 'visual_3d'.
    folder: of the cache.
    networks: stream -> name of its network; {}: not known.
    seconds: how long each part of the work has taken: 'sound', 'features',
      'writing' (of the cache).

  Example:
    extractor = feature_extractor.Extractor(resnet152='resnet152.pth')
    extract = Extraction(extractor, extractor.widths, pathlib.Path('cache'))
    arrays = extract(path, start=12.0, end=19.5)
    arrays['spectrogram'], arrays['visual_2d']  # [T, 40], [S, 2048]
  """

  def __init__(
    self,
    extractor: Extractor,
    widths: Mapping[str, int],
    folder: pathlib.Path,
    decoder: Decoder | None = None,
    *,
    skip_silent: bool = False,
    networks: Mapping[str, str] = MappingProxyType({}),
    outputs: Sequence[str] = ('pooled',),
  ):
    """Sets the visual networks and the cache.

    Args:
      extractor: computes visual features. What it raises is a fault of the
        video, except NetworkError.
      widths: V of each visual stream of the extractor.
      folder: cache of this extractor alone; created if it is missing.
      decoder: decodes the videos; None: one of its own.
      skip_silent: raise SilentMediaError for sound that is not audible.
      networks: stream -> name of its network, for the records.
      outputs: of the extractor, see `feature_extractor.Extractor`. What a
        cached file has beyond them stays in it and is not returned.
    """
    self._grids = [f'{s}_grid' for s in widths if 'grid' in outputs]
    self.widths, self.folder = dict(widths), folder
    self.networks = dict(networks)
    self.seconds: dict[str, float] = collections.defaultdict(float)
    self._extractor, self._skip_silent = extractor, skip_silent
    self._decoder = decoder or Decoder()

  def __call__(
    self,
    path: pathlib.Path,
    start: float = 0.0,
    end: float = math.inf,
    dtype: type = np.float32,
    content: str = '',
  ) -> dict[str, np.ndarray]:
    """Returns the arrays of a record.

    Args:
      path: of the video.
      start: of the piece, seconds.
      end: of the piece, seconds; a video that is shorter ends the piece.
      dtype: of the spectrogram.
      content: digest of the file's content, under which the result is cached;
        '': it is cached under the file's name, size and time.

    Returns:
      spectrogram [T, 40], dB below the loudest cell of the piece, and the
      features of each stream, float16 [S, V]; with the output 'grid' also
      'visual_2d_grid' and so on, [S, ..., V].

    Raises:
      MediaError: the video or its audio cannot be used, whatever the readers
        or the extractor raise for it.
      NetworkError: the extractor's networks fail or have another width.
      UserError: the disk is full.
    """
    cached = self.cache_file(path, start, end, dtype, content)
    names = {'spectrogram', *self.widths, *self._grids}
    arrays = feature_cache.read(cached, names)
    if not arrays:
      arrays = self._extract(path, start, end)
      arrays['spectrogram'] = arrays['spectrogram'].astype(dtype)
      self._timed('writing', feature_cache.write, cached, arrays)
    return arrays

  def cache_file(
    self,
    path: pathlib.Path,
    start: float,
    end: float,
    dtype: type,
    content: str = '',
  ) -> pathlib.Path:
    """Path of the .npz file of a result; see `__call__`."""
    facts = [content]
    if not content:
      with reading.guard(path):
        stat = path.stat()
      facts = [path.name, stat.st_size, stat.st_mtime_ns]
    facts = [VERSION, *facts, start, end, str(dtype)]
    return feature_cache.file_of(self.folder, facts)

  def _timed(self, part: str, function: Callable, *args, **kwargs) -> Any:
    """Calls a function, and adds its time to a part of the work."""
    began = time.perf_counter()
    result = function(*args, **kwargs)
    self.seconds[part] += time.perf_counter() - began
    return result

  def _extract(
    self, path: pathlib.Path, start: float, end: float
  ) -> dict[str, np.ndarray]:
    last = end if end < math.inf else None
    with reading.guard(path):
      waveform, features = self._decoder.run(
        path,
        lambda media: (
          self._timed('sound', media.waveform, start, end),
          self._timed(
            'features', self._extractor, path, start, last, media.frames
          ),
        ),
      )
      if self._skip_silent:
        audio.check_audible(waveform, str(path))
      spectrogram = self._timed('sound', audio.log_mel_spectrogram, waveform)
    arrays = {'spectrogram': spectrogram}
    for stream, width in self.widths.items():
      array = np.asarray(features[stream], np.float16)
      if not len(array):
        raise TooShortError(
          f'{path}: There is no {stream} from {start:g} to {end:g} s.'
        )
      if array.ndim != 2 or array.shape[1] != width:
        raise NetworkError(
          f'{path}: {stream} has the shape {array.shape}. Expected '
          f'[seconds, {width}].'
        )
      if not np.isfinite(array).all():  # Perhaps all files' are, see `Skipped`.
        raise UnexpectedError(f'{path}: {stream} has infinite or NaN values.')
      arrays[stream] = array
    return arrays | {name: features[name] for name in self._grids}
