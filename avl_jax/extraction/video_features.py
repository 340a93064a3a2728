"""Spectrograms and visual features of raw videos, each made once.

What has been extracted is kept in a folder, a file a piece, so that a
preparation of days that is interrupted goes on where it was.
"""

import hashlib
import io
import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping

import av
import numpy as np

from avl_jax import torch_files
from avl_jax.features import EmptyMediaError, MediaError, audio
from avl_jax.files import write_atomically

SUFFIXES = ('.mp4', '.mkv', '.webm', '.avi')

# (path, start, end or None) -> {'visual_2d': [S, V], 'visual_3d': [S', V']}
Extractor = Callable[
  [pathlib.Path, float, float | None], Mapping[str, np.ndarray]
]


class NoVideoError(MediaError):
  """A video that is listed but not there."""

  reason = 'no video'


class UnsafeError(MediaError):
  """The name of a video that leads out of the folder of videos."""

  reason = 'unsafe id'


class VideoFiles:
  """The video files below a folder, by name without suffix.

  Those in its folder `videos` if there is one. Links to folders are not
  followed, links to files may not lead out. Of several files of one name the
  first is taken, in the order of their folders and of their names.
  """

  def __init__(self, root: pathlib.Path):
    """Lists the files; they are not opened."""
    videos = root / 'videos'
    self.root = videos if videos.is_dir() else root
    self._names: dict[str, str] = {}
    for folder, folders, files in os.walk(self.root):
      folders.sort()
      for file in sorted(files):
        stem, suffix = os.path.splitext(file)
        if suffix.lower() in SUFFIXES:
          path = os.path.relpath(os.path.join(folder, file), self.root)
          self._names.setdefault(stem, path)

  def __contains__(self, video: str) -> bool:
    """Whether there is a file of this name."""
    return video in self._names

  def __call__(self, video: str) -> pathlib.Path:
    """The path of a video.

    Raises:
      NoVideoError: there is none of this name.
      UnsafeError: the name or a link leads out of the folder.
    """
    if not video or '..' in video.split('/') or set(video) & set('/\\\0'):
      raise UnsafeError(f'{video!r} is not the name of a file')
    if video not in self._names:
      kinds = ', '.join(SUFFIXES)
      raise NoVideoError(f'{video} ({kinds}) is not below {self.root}')
    try:
      return torch_files.inside(self.root, self._names[video])
    except torch_files.ReleaseError as error:
      raise UnsafeError(str(error)) from error


class Extraction:
  """What the models take of a video or a piece of it.

  Attributes:
    widths: V of each visual stream: 'visual_2d' and perhaps 'visual_3d'.
    folder: where the results are kept.
  """

  def __init__(
    self,
    extractor: Extractor,
    widths: Mapping[str, int],
    folder: pathlib.Path,
  ):
    """Takes the network.

    Args:
      extractor: raises MediaError where it cannot read the video.
      widths: of its streams.
      folder: of this extractor alone; made where missing.
    """
    self.widths, self.folder = dict(widths), folder
    self._extractor = extractor

  def __call__(
    self,
    path: pathlib.Path,
    start: float = 0.0,
    end: float = math.inf,
    dtype: type = np.float32,
  ) -> dict[str, np.ndarray]:
    """The arrays of a record.

    Args:
      path: of the video.
      start: seconds.
      end: seconds; where the video ends before, the piece does.
      dtype: of the spectrogram.

    Returns:
      spectrogram [T, 40], dB below the loudest cell of the piece, and the
      features of each stream, float16 [S, V].

    Raises:
      MediaError: the video or its sound cannot be used.
      UserError: the disk is full.
    """
    try:
      stat = path.stat()
    except OSError as error:
      raise MediaError(f'{path}: {error.strerror}') from error
    facts = [path.name, stat.st_size, stat.st_mtime_ns, start, end, str(dtype)]
    name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    kept = self.folder / name[:2] / f'{name}.npz'
    arrays = _read(kept, {'spectrogram', *self.widths})
    if not arrays:
      arrays = self._extract(path, start, end)
      arrays['spectrogram'] = arrays['spectrogram'].astype(dtype)
      buffer = io.BytesIO()
      np.savez(buffer, **arrays)
      write_atomically(kept, buffer.getvalue())
    return arrays

  def _extract(self, path, start, end) -> dict[str, np.ndarray]:
    try:
      waveform = audio.read_audio(path, start=start, end=end)
      last = end if end < math.inf else None
      features = self._extractor(path, start, last)
    except MediaError:
      raise
    except (av.FFmpegError, OSError) as error:
      raise MediaError(f'{path}: {error}') from error
    arrays = {'spectrogram': audio.log_mel_spectrogram(waveform)}
    for stream, width in self.widths.items():
      array = np.asarray(features[stream], np.float16)
      if not len(array):
        raise EmptyMediaError(f'{path}: no {stream} from {start:g} to {end:g}')
      if array.ndim != 2 or array.shape[1] != width:
        raise MediaError(
          f'{path}: {stream} is {array.shape}, expected [seconds, {width}]'
        )
      if not np.isfinite(array).all():
        raise MediaError(f'{path}: {stream} is not finite')
      arrays[stream] = array
    return arrays


def _read(path: pathlib.Path, names: set[str]) -> dict[str, np.ndarray]:
  """What was kept; nothing if it was not or is damaged."""
  try:
    with path.open('rb') as file, np.load(file, allow_pickle=False) as kept:
      arrays = dict(kept)
  except Exception:  # A damaged file may raise anything; it is made anew.
    return {}
  return arrays if arrays.keys() == names else {}
