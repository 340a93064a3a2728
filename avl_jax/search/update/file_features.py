"""Features of the files of an index, kept beside it.

    DIR/extracted/NETWORKS/..   one .npz file for each content and kind

They are what decoding is needed for. Vectors of other windows or of another
model with the same networks are made of them, and so is the second that fits a
question best.
"""

import math
import os
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np

from avl_jax.backbones import network_names
from avl_jax.extraction import feature_cache, media_folder
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.extraction.model_inputs import VisualInputs
from avl_jax.extraction.video_features import Extraction
from avl_jax.features import (
  MEL_BINS,
  NoPictureError,
  RefusedError,
  Status,
  audio,
  reading,
)

FOLDER = 'extracted'  # of an index
# A file that lacks sound is used for its pictures, and the other way round.
_MAY_LACK = (
  *(Status.NO_SOUND, Status.SILENT),
  *(Status.NO_PICTURE, Status.TOO_SHORT),
)


class FileFeatures:
  """Extracts features of media files, each content once.

  Example:
    features = FileFeatures('runs/index', {'visual_2d': 'efficientnet_lite0'})
    arrays = features.kept('a.mp4', content)  # of an index that exists
    arrays['spectrogram'], arrays['visual_2d']  # [T, 40], [S, V]
  """

  def __init__(
    self,
    index: str | pathlib.Path,
    networks: Mapping[str, str],
    visual: VisualInputs | None = None,
    decoder: Decoder | None = None,
  ):
    """Chooses the folder.

    Args:
      index: folder of the index.
      networks: stream -> name of its network, of the index' description.
      visual: has the networks; None: only `kept` is used.
      decoder: of the files.
    """
    self._visual, self._networks = visual, dict(networks)
    self._decoder = decoder or Decoder()
    name = '-'.join(self._networks.values()).replace(':', '_')
    self._extraction = Extraction(
      self._extract_visual,
      network_names.widths_of(networks),
      pathlib.Path(index) / FOLDER / name,
      self._decoder,
      skip_silent=True,
      may_lack=_MAY_LACK,
    )

  def by(self, decoder: Decoder) -> 'FileFeatures':
    """The same, with the decoder of another thread."""
    folder = self._extraction.folder.parents[1]
    return FileFeatures(folder, self._networks, self._visual, decoder)

  def _extract_visual(self, *args) -> Mapping[str, np.ndarray]:
    assert self._visual is not None  # of whoever extracts
    return self._visual.extractor(*args)

  def cache_file(self, path: str | os.PathLike, content: str) -> pathlib.Path:
    """The .npz file that keeps the features of a file, see `kept`."""
    kind = media_folder.kind(path)
    # One content is extracted otherwise under the name of another kind.
    what = content if kind == media_folder.VIDEO else f'{content} {kind}'
    return self._extraction.cache_file(
      pathlib.Path(), 0.0, math.inf, np.float16, what
    )

  def keep_only(self, files: Iterable[tuple[str, str]]) -> None:
    """Deletes all other features, those of other networks included.

    Args:
      files: path and content of each file.
    """
    kept = {self.cache_file(*file) for file in files}
    for path in self._extraction.folder.parent.glob('*/*/*.npz*'):
      if path not in kept:
        path.unlink(missing_ok=True)

  def kept(
    self, path: str | os.PathLike, content: str
  ) -> dict[str, np.ndarray]:
    """The kept features of a file; {}: none are kept.

    Args:
      path: of the file, which need not be there; its suffix says what it is,
        see `media_folder.kind`.
      content: SHA-256 of the file.

    Returns:
      'spectrogram' float16 [T, 40], dB below the loudest cell, 100 rows a
      second, and the streams of features [S, V], see
      `feature_extractor.Extractor`. What the file lacks has no rows. Of a
      picture: 'visual_2d' float32 [1, V], not normalised.
    """
    names = {'spectrogram', *self._networks}
    return feature_cache.read(self.cache_file(path, content), names)

  def __call__(self, path: pathlib.Path, content: str) -> dict[str, np.ndarray]:
    """Extracts the features of a file, unless they are kept; keeps them.

    Args:
      path: of the file, and
      content: see `kept`.

    Returns:
      As `kept`.

    Raises:
      MediaError: the file has neither sound nor pictures that can be used.
      NetworkError, UserError: see `Extraction`.
    """
    kind = media_folder.kind(path)
    if kind == media_folder.VIDEO:
      arrays = self._extraction(path, dtype=np.float16, content=content)
      if not any(map(len, arrays.values())):
        raise NoPictureError(f'{path}: The file has no sound and no picture.')
      return arrays
    if arrays := self.kept(path, content):
      return arrays
    if kind == media_folder.PICTURE:
      arrays = self._of_picture(path)
    else:
      arrays = self._of_sound(path)
    feature_cache.write(self.cache_file(path, content), arrays)
    return arrays

  def _of_picture(self, path: pathlib.Path) -> dict[str, np.ndarray]:
    if 'visual_3d' in self._networks:
      raise RefusedError(
        f'{path}: The model takes 3-D features, which a picture does not have.'
      )
    assert self._visual is not None  # of whoever extracts
    pixels = self._decoder.run(path, lambda media: media.picture())
    rows = self._visual.extractor.image_features([pixels])
    silence = np.zeros((0, MEL_BINS), np.float16)
    return {'spectrogram': silence, 'visual_2d': rows}

  def _of_sound(self, path: pathlib.Path) -> dict[str, np.ndarray]:
    with reading.guard(path):
      waveform = self._decoder.run(path, lambda media: media.waveform())
      audio.check_audible(waveform, str(path))
      spectrogram = audio.log_mel_spectrogram(waveform)
    nothing = {
      stream: np.zeros((0, width), np.float16)
      for stream, width in self._extraction.widths.items()
    }
    return {'spectrogram': spectrogram.astype(np.float16), **nothing}
