"""Pictures read in a child process: the same bits and errors as in this one."""

import warnings

import numpy as np
import pytest
from PIL import Image

from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.features import MediaError, images
from tests.helpers.outcomes import outcome


@pytest.fixture(scope='module')
def decoder():
  with Decoder() as decoder:
    yield decoder


def write_pictures(folder):
  """A file of every format, and of the modes that are read their own way."""
  pixels = np.random.default_rng(0).integers(0, 256, (9, 14, 4), np.uint8)
  clear = Image.fromarray(pixels, 'RGBA')
  plain = clear.convert('RGB')
  for suffix in ('bmp', 'gif', 'jpg', 'png', 'tif', 'webp'):
    plain.save(folder / f'plain.{suffix}')
  for name in ('clear.png', 'clear.webp', 'clear.gif'):
    clear.save(folder / name)
  plain.convert('CMYK').save(folder / 'press.jpg')
  plain.quantize(7).save(folder / 'palette.png', transparency=3)
  plain.save(folder / 'packed.tif', compression='tiff_lzw')
  Image.fromarray(np.arange(0, 60_000, 1000, np.uint16)[None]).save(
    folder / 'deep.png'
  )
  exif = Image.Exif()
  exif[0x0112] = 6
  plain.save(folder / 'turned.jpg', exif=exif)
  plain.save(folder / 'several.mpo', save_all=True, append_images=[plain])
  plain.save(folder / 'moves.webp', save_all=True, append_images=[clear])


def check(decoder, path):
  """What this process and the child both make of a file."""
  with warnings.catch_warnings():  # of a damaged TIFF file
    warnings.simplefilter('ignore')
    expected = outcome(images.read_image, path)
  found = outcome(decoder.run, path, lambda media: media.picture())
  if isinstance(expected, MediaError):
    assert (type(found), str(found)) == (type(expected), str(expected))
  else:
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
  return expected


def test_the_same_bits(decoder, tmp_path):
  write_pictures(tmp_path)
  paths = sorted(tmp_path.iterdir())
  assert len(paths) == 16
  for path in paths:
    assert np.ptp(check(decoder, path)) > 50, path


def test_bad_files(decoder, tmp_path):
  write_pictures(tmp_path)
  for path in sorted(tmp_path.iterdir()):
    path.write_bytes(path.read_bytes()[:30])
    assert isinstance(check(decoder, path), MediaError)
  (tmp_path / 'text.png').write_text('This is no picture.')
  (tmp_path / 'page.eps').write_text('%!PS-Adobe-3.0 EPSF-3.0\n(x) run\n')
  Image.new('1', (30_000, 30_000)).save(tmp_path / 'bomb.png')
  for name, reason in {
    'text.png': 'unreadable',
    'page.eps': 'unreadable',
    'bomb.png': 'refused',
  }.items():
    assert check(decoder, tmp_path / name).reason == reason


def test_a_picture_among_films(decoder, tmp_path):
  """A file that is no picture, or no film, is told so, and the next is read."""
  write_pictures(tmp_path)
  path = tmp_path / 'plain.png'
  for use in (lambda x: x.waveform(), lambda x: [*x.frames(1, 24, True)]):
    with pytest.raises(MediaError, match=r'plain\.png'):
      decoder.run(path, use)
  np.testing.assert_array_equal(
    decoder.run(path, lambda media: media.picture()), images.read_image(path)
  )
