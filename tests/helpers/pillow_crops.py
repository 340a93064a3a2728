"""Crops of pictures in a naive use of Pillow, to compare ours with."""

import math

import numpy as np
from PIL import Image


def centre(picture):
  """torchvision's Resize(256) and CenterCrop(224)."""
  shorter = min(picture.size)
  picture = picture.resize(
    [256 * side // shorter for side in picture.size], Image.BILINEAR
  )
  left, top = (round((side - 224) / 2) for side in picture.size)
  return np.array(picture.crop((left, top, left + 224, top + 224)))


def random(picture, rng):
  """torchvision's RandomResizedCrop with another source of numbers."""
  width, height = picture.size
  for _ in range(10):
    area = rng.uniform(0.08, 1) * width * height
    ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
    w = round(math.sqrt(area * ratio))
    h = round(math.sqrt(area / ratio))
    if 0 < w <= width and 0 < h <= height:
      left = rng.integers(0, width - w + 1)
      top = rng.integers(0, height - h + 1)
      box = (left, top, left + w, top + h)
      break
  else:
    w = round(height * 4 / 3) if width > height else width
    h = round(width * 4 / 3) if width <= height else height
    left, top = (width - w) // 2, (height - h) // 2
    box = (left, top, left + w, top + h)
  return np.array(picture.crop(box).resize((224, 224), Image.BILINEAR))
