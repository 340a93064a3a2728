"""Crops of pictures to one size, for models with an image encoder; Pillow.

As in DAVEnet's loader, which the thesis follows: a crop of random size and
shape in training, the centre in evaluation. Like that loader, this one does not
mirror pictures, because captions say "left" and "right".
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
  """Crops a random part of a picture, as torchvision's RandomResizedCrop.

  The part's area and the logarithm of its aspect are uniform. If ten draws do
  not fit into the picture, the part is the largest one in the middle whose
  aspect is in the range.

  Args:
    image: uint8 [H, W, 3].
    rng: of this (seed, epoch, index).

  Returns:
    uint8 [224, 224, 3], bilinear with antialiasing.
  """
  left, top, width, height = _random_box(image.shape[0], image.shape[1], rng)
  part = image[top : top + height, left : left + width]
  resized = Image.fromarray(part).resize(
    (SIZE, SIZE), Image.Resampling.BILINEAR
  )
  return np.array(resized)


def _random_box(
  height: int, width: int, rng: np.random.Generator
) -> tuple[int, int, int, int]:
  """Draws (left, top, width, height) of a part, in pixels."""
  for _ in range(_TRIES):
    area = height * width * rng.uniform(*_AREA)
    aspect = math.exp(rng.uniform(*np.log(_ASPECT)))
    w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
    if 0 < w <= width and 0 < h <= height:
      left = int(rng.integers(width - w + 1))
      return left, int(rng.integers(height - h + 1)), w, h
  w = min(width, max(1, round(height * _ASPECT[1])))
  h = min(height, max(1, round(width / _ASPECT[0])))
  return (width - w) // 2, (height - h) // 2, w, h


def centre_crop(image: np.ndarray) -> np.ndarray:
  """Crops the centre of a picture after resizing its shorter side to 256.

  Only the part that is kept is resized: a strip of a million by one pixels
  would not fit into memory.

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
