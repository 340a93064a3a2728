"""Crops of pictures, compared with a naive use of Pillow."""

import numpy as np
import pytest
from PIL import Image

from avl_jax.features import image_crops
from tests.helpers import pillow_crops

SIZES = ((30, 40), (100, 70), (300, 260), (256, 256), (91, 700), (224, 225))


@pytest.mark.parametrize('size', SIZES)
def test_crops_are_those_of_pillow(size):
  noise = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype('u1')
  picture = Image.fromarray(noise)
  # Pillow rounds the corners of a part to float32, which may change a level.
  difference = image_crops.centre_crop(noise) - pillow_crops.centre(
    picture
  ).astype(int)
  assert np.abs(difference).max() <= 1
  seen = set()
  for seed in range(5):
    crop = image_crops.random_crop(noise, np.random.default_rng(seed))
    expected = pillow_crops.random(picture, np.random.default_rng(seed))
    np.testing.assert_array_equal(crop, expected)
    seen.add(crop.tobytes())
  # No draw fits into the narrow picture, so the crop is its middle.
  assert len(seen) == (1 if size == (91, 700) else 5)


def test_strips_need_little_memory():
  """The shorter side of a strip is one pixel, which would become 256."""
  for size in ((1, 2_000_000), (2_000_000, 1)):
    strip = np.full((*size, 3), 7, np.uint8)
    rng = np.random.default_rng(0)
    for crop in (
      image_crops.centre_crop(strip),
      image_crops.random_crop(strip, rng),
    ):
      assert crop.shape == (224, 224, 3)
      assert (crop == 7).all()


def test_random_crops_have_the_range_of_areas():
  rng = np.random.default_rng(0)
  boxes = np.array(
    [image_crops._random_box(300, 400, rng) for _ in range(2_000)]
  )
  area = boxes[:, 2] * boxes[:, 3] / 120_000
  aspect = boxes[:, 2] / boxes[:, 3]
  assert area.min() > 0.078
  assert area.max() > 0.9
  assert 0.74 < aspect.min() < 0.77
  assert 1.3 < aspect.max() < 1.35
  assert (boxes[:, 0] + boxes[:, 2] <= 400).all()
  assert (boxes[:, 1] + boxes[:, 3] <= 300).all()
  assert (boxes[:, :2] >= 0).all()
