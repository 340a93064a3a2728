"""Extracts spectrograms and visual features of raw videos, each once.

Results are cached in a folder, one file per piece of a video, so that an
interrupted preparation, which may take days, can resume.
"""

import collections
import contextlib
import copy
import math
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import tqdm

from avl_jax.extraction import feature_cache, feature_checks
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.extraction.workers import Workers, number
from avl_jax.features import (
  MEL_BINS,
  MediaError,
  Status,
  TooShortError,
  audio,
  reading,
)

VERSION = 2  # of decoding: features that an earlier one extracted are not used

# (path, start, end or None, see `feature_extractor.Frames`) ->
# {'visual_2d': [S, V], 'visual_3d': [S', V']}
Extractor = Callable[
  [pathlib.Path, float, float | None, Callable[..., Iterator[np.ndarray]]],
  Mapping[str, np.ndarray],
]
Piece = tuple[pathlib.Path, float, float, type]  # see `Extraction.__call__`


class Extraction:
  """Extracts the model's inputs from a video or a piece of it, with a cache.

  Videos are decoded in child processes, because they may be untrusted.

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
    workers: int = 1,
    may_lack: Sequence[Status] = (),
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
      workers: of `ahead`, see `workers.number`.
      may_lack: what is wrong with the sound, or with the pictures, of a file
        that is used for the other; the arrays of what it lacks have no rows.
    """
    self._may_lack = may_lack
    self._grids = [f'{s}_grid' for s in widths if 'grid' in outputs]
    self.widths, self.folder = dict(widths), folder
    self.networks = dict(networks)
    self.seconds: dict[str, float] = collections.defaultdict(float)
    self._extractor, self._skip_silent = extractor, skip_silent
    self._decoder = decoder or Decoder()
    self._workers = number(workers)
    # Of `ahead`: cached file -> class and text of its error.
    self._failed: dict[pathlib.Path, tuple[type[MediaError], str]] = {}

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
    if cached in self._failed:
      error, text = self._failed[cached]
      raise error(text)
    names = {'spectrogram', *self.widths, *self._grids}
    arrays = feature_cache.read(cached, names)
    if not arrays:
      arrays = self._extract(path, start, end)
      arrays['spectrogram'] = arrays['spectrogram'].astype(dtype)
      self._timed('writing', feature_cache.write, cached, arrays)
    return arrays

  def ahead(self, title: str, pieces: Iterable[Piece]) -> None:
    """Extracts pieces, several at once, before they are asked for.

    The arrays go into the cache; the errors of pieces are kept. With one worker
    nothing is done ahead.

    Args:
      title: of the bar.
      pieces: see `__call__`.

    Raises:
      NetworkError, UserError: as `__call__` raises them.
    """
    if self._workers == 1:
      return
    new = {}
    for piece in pieces:
      with contextlib.suppress(MediaError):  # It will be missed.
        if not (cached := self.cache_file(*piece)).is_file():
          new[cached] = piece
    count = min(self._workers, len(new))
    if not count:
      return
    with Workers(count, self._decoder) as threads:
      by = {decoder: copy.copy(self) for decoder in threads.decoders}
      for decoder, extraction in by.items():
        extraction._decoder = decoder
        extraction.seconds = collections.defaultdict(float)

      def work(cached: pathlib.Path, decoder: Decoder) -> None:
        try:
          by[decoder](*new[cached])
        except MediaError as error:
          self._failed[cached] = type(error), str(error)

      bar = tqdm.tqdm(threads.each(new, work), title, len(new), mininterval=1)
      for _ in bar:
        bar.set_postfix_str(f'{len(self._failed):,} unusable', refresh=False)

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

  def _if_any(self, part: str, function: Callable, *args) -> Any:
    """As `_timed`; None if it raises for what the file may lack."""
    try:
      return self._timed(part, function, *args)
    except MediaError as error:
      if error.reason not in self._may_lack:
        raise
      return None

  def _extract(
    self, path: pathlib.Path, start: float, end: float
  ) -> dict[str, np.ndarray]:
    last = end if end < math.inf else None
    with reading.guard(path):
      waveform, features = self._decoder.run(
        path,
        lambda media: (
          self._if_any('sound', media.waveform, start, end),
          self._if_any(
            'features', self._extractor, path, start, last, media.frames
          ),
        ),
      )
      if waveform is not None and self._skip_silent:
        waveform = self._if_any(
          'sound', audio.check_audible, waveform, str(path)
        )
      spectrogram = np.zeros((0, MEL_BINS), np.float32)
      if waveform is not None:
        spectrogram = self._timed('sound', audio.log_mel_spectrogram, waveform)
    arrays = {'spectrogram': spectrogram}
    for stream, width in self.widths.items():
      rows = features[stream] if features else np.zeros((0, width))
      if not len(rows) and Status.TOO_SHORT not in self._may_lack:
        raise TooShortError(
          f'{path}: There is no {stream} from {start:g} to {end:g} s.'
        )
      arrays[stream] = feature_checks.checked(path, stream, rows, width)
    if not features:
      return arrays
    return arrays | {name: features[name] for name in self._grids}
