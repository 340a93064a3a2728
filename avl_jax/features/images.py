"""Reads images, and computes their visual features with any backbone.

Images are uint8 [H, W, 3], RGB, everywhere. A backbone itself does whatever
else it needs (scale, mean, layout).
"""

import io
import itertools
import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageOps, UnidentifiedImageError

from avl_jax import features
from avl_jax.features import formats, reading
from avl_jax.features.open_file import OpenFile

# What Pillow raises for many pixels; the warning where warnings are errors.
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def read_image(source: str | OpenFile | os.PathLike | bytes) -> np.ndarray:
  """Reads an image as a viewer shows it: upright, on a white page.

  Args:
    source: path or content of a BMP, GIF, JPEG, PNG, TIFF or WebP file, or the
      open file; the first frame of an animation is used.

  Returns:
    uint8 [H, W, 3], RGB. The EXIF orientation is applied, transparency is
    flattened on white, and the upper 8 of 16 bits per channel are kept.

  Raises:
    MediaError: the file is empty, damaged or of another format; MissingError;
      RefusedError: it has more pixels than `PIL.Image.MAX_IMAGE_PIXELS`, or a
      mode of unknown range.

  Example:
    image = images.fit_square(images.read_image('cat.jpg'))  # [224, 224, 3]
  """
  if isinstance(source, bytes):
    name = f'Image of {len(source)} bytes'
  else:
    name = os.fspath(source)
  try:
    with Image.open(
      _file(source), formats=tuple(formats.IMAGE_FORMATS)
    ) as image:
      # Pillow warns here, and refuses only images of twice as many pixels.
      limit = Image.MAX_IMAGE_PIXELS
      if limit and image.width * image.height > limit:
        raise features.RefusedError(
          f'It has {image.width} x {image.height} pixels. Expected at most '
          f'{limit}.'
        )
      return np.array(_flatten(ImageOps.exif_transpose(image)))
  # Pillow's readers raise whatever a damaged file leads them to.
  except Exception as error:
    if getattr(error, 'errno', None) in reading.OF_THE_MACHINE:
      raise
    raise _described(name, error) from error


def _file(source: str | OpenFile | os.PathLike | bytes) -> Any:
  """What Pillow opens."""
  if isinstance(source, bytes):
    size, file = len(source), io.BytesIO(source)
  elif isinstance(source, OpenFile):
    size, file = source.size, io.BufferedReader(source.reader())
  else:
    size, file = os.path.getsize(source), source
  if not size:
    raise features.EmptyMediaError('The file has 0 bytes.')
  return file


def _described(name: str, error: Exception) -> features.MediaError:
  """The error of a file, for what Pillow or this module has raised."""
  kind, why = features.MediaError, str(error).rstrip('.')
  if isinstance(error, features.EmptyMediaError):
    return features.EmptyMediaError(f'{name}: {error}')
  if isinstance(error, FileNotFoundError):
    kind = features.MissingError
  elif isinstance(error, (features.RefusedError, *_TOO_LARGE)):
    kind = features.RefusedError
  elif isinstance(error, UnidentifiedImageError):
    why = f'It is none of {", ".join(formats.IMAGE_FORMATS)}'
  return kind(f'{name}: The file cannot be read as an image: {why}.')


def reduced(pixels: np.ndarray, longest: int) -> np.ndarray:
  """An image uint8 [H, W, 3] whose longer side is at most `longest` pixels."""
  if max(pixels.shape) <= longest:
    return pixels
  picture = Image.fromarray(pixels)
  picture.thumbnail((longest, longest))
  return np.array(picture)


def _flatten(image: Image.Image) -> Image.Image:
  """Converts an image to RGB, with transparency flattened on white."""
  if image.mode in {'F', 'I'}:
    raise features.RefusedError(f'The range of mode {image.mode} is unknown.')
  if image.mode.startswith('I;16'):  # convert() would clip at 255
    image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
  if not image.has_transparency_data:
    return image.convert('RGB')
  image = image.convert('RGBA')
  page = Image.new('RGB', image.size, 'white')
  page.paste(image, mask=image)
  return page


def fit_square(image: np.ndarray, size: int = 224) -> np.ndarray:
  """Pads an image to a centred square with white and resizes it.

  Args:
    image: uint8 [H, W, 3].
    size: side of the result, in pixels.

  Returns:
    uint8 [size, size, 3], bicubic with antialiasing.
  """
  picture = Image.fromarray(image)
  side = max(picture.size)
  # The longer axis is resized before padding, because the full square of a long
  # strip may not fit in memory. Bicubic resizing is separable.
  if picture.width == side:
    picture = picture.resize((size, picture.height), Image.Resampling.BICUBIC)
    page = Image.new('RGB', (size, side), 'white')
  else:
    picture = picture.resize((picture.width, size), Image.Resampling.BICUBIC)
    page = Image.new('RGB', (side, size), 'white')
  left = (page.width - picture.width) // 2
  top = (page.height - picture.height) // 2
  page.paste(picture, (left, top))
  return np.array(page.resize((size, size), Image.Resampling.BICUBIC))


def extract(
  images: Iterable[np.ndarray],
  backbone: Callable[[Any], ArrayLike],
  batch_size: int = 32,
) -> np.ndarray:
  """Computes features of images in full batches.

  Args:
    images: S arrays uint8 [224, 224, 3], or of another shape that the backbone
      takes; iterated lazily.
    backbone: maps a NumPy array [batch_size, 224, 224, 3] to [batch_size, V],
      each row independently. It is called with this one shape only, so that
      it is compiled once.
    batch_size: images per call.

  Returns:
    float32 [S, V].

  Raises:
    MediaError: there is no image, so that V is unknown.
    NetworkError: the backbone fails. What `images` raises is raised as it is.
  """
  iterator = iter(images)
  batches = []
  while batch := list(itertools.islice(iterator, batch_size)):
    padding = [batch[-1]] * (batch_size - len(batch))
    stacked = np.stack(batch + padding)
    try:
      output = np.asarray(backbone(stacked), np.float32)
    except Exception as error:
      raise features.NetworkError(
        f'The network fails on images of the shape {stacked.shape}: '
        f'{type(error).__name__}: {error}'
      ) from error
    batches.append(output[: len(batch)])
  if not batches:
    raise features.MediaError('There are no images to extract features from.')
  return np.concatenate(batches)


def normalise(rows: np.ndarray) -> np.ndarray:
  """Divides rows [S, V] by their L2 norms, or by 1e-12 if that is larger."""
  norms = np.linalg.norm(rows, axis=1, keepdims=True)
  return rows / np.maximum(norms, np.float32(1e-12))
