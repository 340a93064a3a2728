"""Pictures for an image encoder in the loop: crops of one size; Pillow.

As in DAVEnet's loader, which the thesis follows: a crop of random size and
shape in training, the centre in evaluation. There is no mirroring, neither
there nor here: captions say what is left and what is right.
"""

import math

import numpy as np
from PIL import Image

SIZE = 224  # pixels, width and height of a crop
_SHORTER = 256  # pixels of the shorter side, before the centre is taken
_AREA = (0.08, 1.0)  # of the picture
_ASPECT = (3 / 4, 4 / 3)  # width over height
_TRIES = 10


def random_crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """A random part of a picture, as torchvision's RandomResizedCrop.

  Its area and the logarithm of its aspect are uniform. Where ten tries do not
  fit into the picture, it is the largest part in the middle that has an aspect
  in the range.

  Args:
    image: uint8 [H, W, 3].
    rng: of this (seed, epoch, index).

  Returns:
    uint8 [224, 224, 3], bilinear with antialiasing.
  """
  left, top, width, height = _random_box(*image.shape[:2], rng)
  part = image[top : top + height, left : left + width]
  resized = Image.fromarray(part).resize(
    (SIZE, SIZE), Image.Resampling.BILINEAR
  )
  return np.array(resized)


def _random_box(
  height: int, width: int, rng: np.random.Generator
) -> tuple[int, int, int, int]:
  """(left, top, width, height) of a random part."""
  for _ in range(_TRIES):
    area = height * width * rng.uniform(*_AREA)
    aspect = math.exp(rng.uniform(*np.log(_ASPECT)))
    w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
    if 0 < w <= width and 0 < h <= height:
      return rng.integers(width - w + 1), rng.integers(height - h + 1), w, h
  w = min(width, max(1, round(height * _ASPECT[1])))
  h = min(height, max(1, round(width / _ASPECT[0])))
  return (width - w) // 2, (height - h) // 2, w, h


def centre_crop(image: np.ndarray) -> np.ndarray:
  """The centre of a picture whose shorter side is resized to 256 pixels.

  Only what is kept is resized: a strip of a million by one pixels would not
  fit into memory.

  Args:
    image: uint8 [H, W, 3].

  Returns:
    uint8 [224, 224, 3], bilinear with antialiasing.
  """
  picture = Image.fromarray(image)
  shorter = min(picture.size)
  box = []
  for side in picture.size:
    resized = _SHORTER * side // shorter
    first = round((resized - SIZE) / 2)
    scale = side / resized
    box.append((first * scale, (first + SIZE) * scale))
  (left, right), (top, bottom) = box
  return np.array(
    picture.resize(
      (SIZE, SIZE), Image.Resampling.BILINEAR, box=(left, top, right, bottom)
    )
  )
