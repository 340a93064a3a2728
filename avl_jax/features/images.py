"""Images to visual features, with any backbone.

Images are uint8 [H, W, 3], RGB, throughout; what a backbone needs beyond that
(scale, mean, layout) it does itself.
"""

import io
import itertools
import os
from collections.abc import Callable, Iterable

import numpy as np
from PIL import Image, ImageOps

from avl_jax import features

# Pillow's other readers include some that start programs (EPS).
_FORMATS = ('BMP', 'GIF', 'JPEG', 'PNG', 'TIFF', 'WEBP')


def read_image(source: str | os.PathLike | bytes) -> np.ndarray:
  """Reads an image as a person sees it: upright, on a white page.

  Args:
    source: a path, or the content of a file: BMP, GIF, JPEG, PNG, TIFF or
      WebP; of an animation, the first frame.

  Returns:
    uint8 [H, W, 3], RGB. The EXIF orientation is applied, transparency is
    flattened on white, and of 16 bits per channel the upper 8 are kept.

  Raises:
    MediaError: the file is missing, empty, damaged, of another format, or has
      more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
  """
  is_content = isinstance(source, bytes)
  name = f'image of {len(source)} bytes' if is_content else os.fspath(source)
  try:
    if not (len(source) if is_content else os.path.getsize(source)):
      raise features.EmptyMediaError(f'{name}: the file has 0 bytes')
    with Image.open(
      io.BytesIO(source) if is_content else source, formats=_FORMATS
    ) as image:
      # Pillow warns here, and itself refuses only twice as many.
      limit = Image.MAX_IMAGE_PIXELS
      if limit and image.width * image.height > limit:
        raise features.MediaError(
          f'{image.width} x {image.height} pixels, at most {limit} are read'
        )
      return np.array(_flatten(ImageOps.exif_transpose(image)))
  except features.EmptyMediaError:
    raise
  # Pillow's readers raise whatever a damaged file leads them to.
  except Exception as error:
    raise features.MediaError(
      f'{name}: cannot be read as an image: {error}'
    ) from error


def _flatten(image: Image.Image) -> Image.Image:
  """The image as RGB, transparency flattened on white."""
  if image.mode in {'F', 'I'}:
    raise features.MediaError(f'the range of mode {image.mode} is unknown')
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
  # The longer axis is resized before padding: the full square of a long strip
  # may not fit in memory, and bicubic resizing is separable.
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
  backbone: Callable[[np.ndarray], np.ndarray],
  batch_size: int = 32,
) -> np.ndarray:
  """Features of images, computed in full batches.

  Args:
    images: S arrays, all uint8 [224, 224, 3] or whatever one shape the
      backbone takes; read as they are needed.
    backbone: maps [batch_size, 224, 224, 3] to [batch_size, V], each row for
      itself; sees this one shape only, so that it is compiled once.
    batch_size: images per call.

  Returns:
    float32 [S, V].

  Raises:
    MediaError: there is no image, so that V is unknown.
  """
  images = iter(images)
  batches = []
  while batch := list(itertools.islice(images, batch_size)):
    padding = [batch[-1]] * (batch_size - len(batch))
    output = backbone(np.stack(batch + padding))
    batches.append(np.asarray(output, np.float32)[: len(batch)])
  if not batches:
    raise features.MediaError('there is no image to extract features of')
  return np.concatenate(batches)


def normalise(rows: np.ndarray) -> np.ndarray:
  """Rows [S, V] divided by their L2 norms, or by 1e-12 where they are less."""
  norms = np.linalg.norm(rows, axis=1, keepdims=True)
  return rows / np.maximum(norms, np.float32(1e-12))
