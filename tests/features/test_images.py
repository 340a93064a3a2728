"""Picture files: reading, padding, batches, and their features."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from avl_jax import features
from avl_jax.features import images as image_files
from tests.helpers import golden


def encode(image, kind='PNG', **options):
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


def picture(height, width, name='visual/picture'):
  return (golden.normal(name, (height, width, 3)) * 40 + 128).clip(0, 255)


def test_reads_path_and_bytes(tmp_path):
  pixels = picture(5, 7).astype(np.uint8)
  content = encode(Image.fromarray(pixels))
  (tmp_path / 'image.png').write_bytes(content)
  for source in (content, tmp_path / 'image.png', str(tmp_path / 'image.png')):
    image = image_files.read_image(source)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, pixels)


def test_alpha_is_flattened_on_white():
  colour, alpha = np.meshgrid(range(256), range(256))
  rgba = np.stack([colour, 255 - colour, colour // 2, alpha], -1)
  image = image_files.read_image(encode(Image.fromarray(rgba.astype(np.uint8))))
  opacity = rgba[..., 3:] / 255
  expected = rgba[..., :3] * opacity + 255 * (1 - opacity)
  np.testing.assert_array_equal(image, np.rint(expected))


@pytest.mark.parametrize('kind', ['PNG', 'WEBP', 'TIFF'])
def test_grey_with_alpha(kind):
  grey_alpha = np.array([[[0, 0], [0, 255], [100, 51]]], np.uint8)
  options = {'lossless': True, 'exact': True} if kind == 'WEBP' else {}
  image = image_files.read_image(
    encode(Image.fromarray(grey_alpha), kind, **options)
  )
  # 51 / 255 is a fifth: 100 / 5 + 255 * 4 / 5 = 224.
  np.testing.assert_array_equal(image[..., 0], [[255, 0, 224]])
  np.testing.assert_array_equal(image[..., 1:], image[..., :1].repeat(2, -1))


@pytest.mark.parametrize('transparency', [1, bytes([255, 0, 51])])
def test_palette_with_transparency(transparency):
  image = Image.new('P', (3, 1))
  image.putpalette([0, 0, 0, 200, 0, 0, 0, 100, 0])
  image.putdata([0, 1, 2])
  last = [0, 100, 0] if transparency == 1 else [204, 224, 204]
  np.testing.assert_array_equal(
    image_files.read_image(encode(image, transparency=transparency)),
    [[[0, 0, 0], [255, 255, 255], last]],
  )


def test_sixteen_bits_keep_the_upper_eight():
  grey = np.array([[0, 255, 256, 0x1234, 0xFFFF]], np.uint16)
  for kind in ('PNG', 'TIFF'):
    image = image_files.read_image(encode(Image.fromarray(grey), kind))
    np.testing.assert_array_equal(image[..., 1], grey >> 8)


def test_range_of_float_is_unknown():
  content = encode(Image.fromarray(np.ones((2, 2), np.float32)), 'TIFF')
  with pytest.raises(features.RefusedError, match='mode F'):
    image_files.read_image(content)


@pytest.mark.parametrize(
  ('orientation', 'turn'),
  [
    (1, lambda a: a),
    (2, np.fliplr),
    (3, lambda a: np.rot90(a, 2)),
    (6, lambda a: np.rot90(a, -1)),
    (8, np.rot90),
  ],
)
def test_exif_orientation(orientation, turn):
  pixels = picture(4, 6).astype(np.uint8)
  exif = Image.Exif()
  exif[0x0112] = orientation
  image = image_files.read_image(encode(Image.fromarray(pixels), exif=exif))
  np.testing.assert_array_equal(image, turn(pixels))


def test_unreadable_files_are_named(tmp_path):
  whole = encode(Image.fromarray(picture(64, 64).astype(np.uint8)), 'JPEG')
  contents = {
    'empty.jpg': b'',
    'text.png': b'not an image',
    'half.jpg': whole[: len(whole) // 2],
    'program.eps': b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n',
  }
  for name, content in contents.items():
    (tmp_path / name).write_bytes(content)
  for name in [*contents, 'missing.png']:
    with pytest.raises(features.MediaError, match=name) as caught:
      image_files.read_image(tmp_path / name)
    word = 'missing' if name == 'missing.png' else 'unreadable'
    assert caught.value.reason == word
  with pytest.raises(features.MediaError, match='0 bytes'):
    image_files.read_image(b'')


@pytest.mark.parametrize('action', ['error', 'ignore'])
@pytest.mark.parametrize('limit', [30, 40, 63])
def test_decompression_bomb(monkeypatch, action, limit):
  content = encode(Image.new('RGB', (8, 8)))
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', limit)
  with warnings.catch_warnings():
    warnings.simplefilter(action)
    with pytest.raises(features.RefusedError, match='pixels'):
      image_files.read_image(content)
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 64)
  assert image_files.read_image(content).shape == (8, 8, 3)


def test_fit_square_keeps_what_fits():
  image = picture(224, 224).astype(np.uint8)
  np.testing.assert_array_equal(image_files.fit_square(image), image)


@pytest.mark.parametrize('shape', [(40, 80), (80, 40), (33, 47), (64, 64)])
def test_fit_square_pads_then_resizes(shape):
  image = picture(*shape).astype(np.uint8)
  side = max(shape)
  square = np.full((side, side, 3), 255, np.uint8)
  top, left = (side - shape[0]) // 2, (side - shape[1]) // 2
  square[top : top + shape[0], left : left + shape[1]] = image
  expected = Image.fromarray(square).resize((24, 24), Image.Resampling.BICUBIC)
  actual = image_files.fit_square(image, 24)
  assert actual.shape == (24, 24, 3)
  # Pillow rounds between its two passes, here in the other order.
  np.testing.assert_allclose(actual.astype(int), np.asarray(expected), atol=1)


def test_fit_square_geometry():
  image = image_files.fit_square(np.zeros((100, 200, 3), np.uint8), 200)
  assert (image[:45] == 255).all()
  assert (image[55:145] == 0).all()
  assert (image[155:] == 255).all()
  # A strip whose square would take 27 GB.
  strip = image_files.fit_square(np.zeros((1, 95_000, 3), np.uint8))
  assert strip.shape == (224, 224, 3)
  assert strip.min() >= 250


def project(batch):
  """A backbone with integer weights, so that sums are exact in any order."""
  weight = np.rint(golden.normal('visual/projection', (48, 5)) * 10)
  return batch.reshape(len(batch), 48).astype(np.float32) @ weight


@pytest.mark.parametrize('count', [1, 4, 7, 8])
def test_extract_is_the_backbone(count):
  images = [picture(4, 4, f'visual/{i}').astype(np.uint8) for i in range(count)]
  shapes = []

  def backbone(batch):
    shapes.append(batch.shape)
    return project(batch)

  result = image_files.extract(iter(images), backbone, batch_size=4)
  assert result.dtype == np.float32
  np.testing.assert_array_equal(result, project(np.stack(images)))
  assert shapes == [(4, 4, 4, 3)] * -(-count // 4)


def test_extract_needs_an_image():
  with pytest.raises(features.MediaError, match='no images'):
    image_files.extract([], project)
