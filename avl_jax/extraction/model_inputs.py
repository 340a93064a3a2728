"""Converts a user's files and arrays to the inputs of a model."""

import functools
import os
from collections.abc import Mapping, Sequence

import numpy as np

from avl_jax.backbones import efficientnet, feature_extractor
from avl_jax.errors import UserError
from avl_jax.features import TooShortError, audio, clips, reading, word_vectors
from avl_jax.features import images as image_files

Source = str | os.PathLike | bytes | np.ndarray


def spectrogram(source: Source) -> np.ndarray:
  """Log-mel spectrogram of a recording.

  Args:
    source: path or content of a file with sound, in any container that
      `audio.read_audio` reads; or floating [samples], mono at 16 kHz, full
      scale 1.

  Returns:
    float32 [T, 40], dB below the loudest cell.

  Raises:
    UserError: the file cannot be read, the array is not a waveform, or it is
      silent.
  """
  if isinstance(source, np.ndarray):
    name = 'The audio'
    if source.ndim != 1 or source.dtype.kind != 'f' or not source.size:
      raise UserError(
        f'The audio is an array {source.dtype} {source.shape}. Expected '
        'floating-point [samples], mono at 16 kHz with full scale 1. Average '
        'the channels, and divide 16-bit samples by 32768.'
      )
    with np.errstate(over='ignore'):  # It is checked below.
      waveform = source.astype(np.float32)
    if not np.isfinite(waveform).all():
      raise UserError('The audio has infinite or NaN samples.')
  else:
    name = 'The audio' if isinstance(source, bytes) else os.fspath(source)
    with reading.guard(name):
      waveform = audio.read_audio(source)
  audio.check_audible(waveform, name)
  return audio.log_mel_spectrogram(waveform)


def image(source: Source) -> np.ndarray:
  """Pixels of an image.

  Args:
    source: path or content of an image file, see `images.read_image`; or
      uint8 [H, W, 3], RGB.

  Returns:
    uint8 [H, W, 3].

  Raises:
    UserError: the file cannot be read, or the array is not an image.
  """
  if not isinstance(source, np.ndarray):
    return image_files.read_image(source)
  is_image = source.ndim == 3 and source.shape[2] == 3 and source.size
  if source.dtype != np.uint8 or not is_image:
    raise UserError(
      f'The image is an array {source.dtype} {source.shape}. Expected uint8 '
      '[H, W, 3], RGB.'
    )
  return source


class VisualInputs:
  """Visual features of images and videos for one model.

  The networks are those of the records that the model was trained on: the
  packaged EfficientNet-Lite0 for a width of 1280, else the authors' networks.

  Attributes:
    streams: 'visual_2d' and perhaps 'visual_3d', of the model.
    files: of weights, the arguments of `feature_extractor.Extractor`.
    pooling: of a video's features, see `clips.pool_visual`.
  """

  def __init__(
    self,
    width: int,
    streams: Sequence[str],
    *,
    pooling: str = 'max',
    resnet152: str = '',
    resnext101: str = '',
  ):
    """Chooses the networks; their weights are read at the first use.

    Args:
      width: V that the model takes.
      streams: 'visual_2d' and perhaps 'visual_3d', of the model.
      pooling: of a video's features, see `clips.pool_visual`.
      resnet152: see `feature_extractor.Extractor`; '': the packaged network,
        if it has the width.
      resnext101: likewise; '', or no stream of 3-D features: not used.
    """
    self._width, self.streams = width, tuple(streams)
    self.pooling = pooling
    if not resnet152 and width == efficientnet.WIDTH:
      resnet152 = feature_extractor.STAND_IN
    if 'visual_3d' not in self.streams:
      resnext101 = ''
    self.files = {
      'resnet152': os.path.expanduser(resnet152),
      'resnext101': os.path.expanduser(resnext101),
    }

  @functools.cached_property
  def extractor(self) -> feature_extractor.Extractor:
    """The networks.

    Raises:
      UserError: their weights are not named, or are not those of the model.
    """
    remedy = (
      'Name the weights of its networks, avl_jax.load(RUN, resnet152=FILE, '
      'resnext101=FILE) or --config.prepare.resnet152=FILE and resnext101=FILE.'
    )
    if not self.files['resnet152']:
      raise UserError(
        f'The model takes visual features {self._width} wide, and the networks '
        f'that make them are not packaged. {remedy}'
      )
    extractor = feature_extractor.Extractor(**self.files)
    widths = [extractor.widths.get(name, 0) for name in self.streams]
    if sum(widths) != self._width:
      raise UserError(
        f'The model takes visual features {self._width} wide, but the networks '
        f'make {" + ".join(map(str, widths))}. {remedy}'
      )
    return extractor

  def of_images(self, sources: Sequence[Source]) -> np.ndarray:
    """Features of n images.

    Returns:
      float32 [n, V], L2-normalised.

    Raises:
      UserError: an image cannot be read, or the model needs motion.
    """
    if self._needs_motion:
      raise UserError(
        'The model takes 3-D features, which an image does not have. Give a '
        'video.'
      )
    rows = self.extractor.image_features(map(image, sources))
    return np.stack([self._pooled({'visual_2d': row[None]}) for row in rows])

  def of_video(self, source: Source) -> np.ndarray:
    """Features of a video, pooled over all of it.

    Args:
      source: path of a video file, see `video.frames`; or uint8 [S, H, W, 3],
        one frame a second, for a model of 2-D features.

    Returns:
      float32 [V], each stream L2-normalised.

    Raises:
      UserError: the video cannot be read or is too short, or the model needs
        motion and got frames.
    """
    if isinstance(source, bytes):
      raise UserError(
        'A video cannot be read from bytes. Give the path of its file.'
      )
    if not isinstance(source, np.ndarray):
      with reading.guard(source):
        streams = self.extractor(source)
      if not all(map(len, streams.values())):
        raise TooShortError(
          f'{os.fspath(source)}: The video is too short to have features. '
          'Expected at least half a second.'
        )
      return self._pooled(streams)
    if source.ndim != 4 or not len(source):
      raise UserError(
        f'The video is an array {source.dtype} {source.shape}. Expected uint8 '
        '[S, H, W, 3], RGB, one frame a second.'
      )
    if self._needs_motion:
      raise UserError(
        'The model takes 3-D features, of frames at 24 a second. Give the '
        'path of a video instead of frames.'
      )
    rows = self.extractor.image_features(map(image, source))
    return self._pooled({'visual_2d': rows})

  @property
  def _needs_motion(self) -> bool:
    """Whether the model takes 3-D features."""
    return 'visual_3d' in {*self.streams} & {*self.extractor.widths}

  def _pooled(self, example: Mapping[str, np.ndarray]) -> np.ndarray:
    chosen = clips.choose_streams(dict(example), self.streams)
    return clips.pool_visual(chosen, pooling=self.pooling)


class WordInputs:
  """Word vectors of captions; a word is looked up once."""

  def __init__(self, vectors: str, max_words: int):
    """Opens the word vectors.

    Args:
      vectors: see `word_vectors.open_vectors`; those of the model's training.
      max_words: W; later words of a caption are dropped.

    Raises:
      UserError: there are no such word vectors.
    """
    remedy = (
      'Name the word vectors that the model was trained with, '
      'avl_jax.load(RUN, vectors=FILE).'
    )
    if not vectors:
      raise UserError(f'The config of the run names no word vectors. {remedy}')
    try:
      self._source = word_vectors.open_vectors(vectors)
    except word_vectors.WordsError as error:
      raise UserError(f'{error} {remedy}') from error
    self._max_words = max_words
    self._found: dict[str, np.ndarray | None] = {}

  def __call__(self, texts: Sequence[str]) -> list[np.ndarray]:
    """float32 [W, E] of each text, zeros behind its last known word."""
    new = word_vectors.count_words(texts).keys() - self._found.keys()
    if new:
      self._found |= dict.fromkeys(new) | self._source.look_up(sorted(new))
    known = {word: x for word, x in self._found.items() if x is not None}
    return [
      word_vectors.caption_vectors(
        text, known, self._max_words, self._source.dim
      )
      for text in texts
    ]
