"""Pieces of files as browsers play them, made in the child process."""

import io

import av
import numpy as np
import pytest

from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.features import (
  MediaError,
  NoPictureError,
  RefusedError,
  TooShortError,
)
from tests.helpers import media, own_folder


@pytest.fixture(scope='module')
def decoder():
  with Decoder() as decoder:
    yield decoder


def _write(path, width, height, rate=10):
  """Three seconds of grey pictures, unlike their neighbours, without sound."""
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('mpeg4', rate=rate)
    stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
    for number in range(3 * rate):
      pixels = np.full((height, width, 3), _grey(number), np.uint8)
      frame = av.VideoFrame.from_ndarray(pixels)
      container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
  return path


def _grey(number):
  """The value of all pixels of a picture."""
  return 20 + (20 * number) % 220


def _pictures(clip):
  """Brightness, [pictures, height, width]."""
  with av.open(io.BytesIO(clip.tobytes())) as container:
    return np.stack([x.to_ndarray(format='gray') for x in container.decode()])


def _sizes(clip):
  with av.open(io.BytesIO(clip.tobytes())) as container:
    frames = list(container.decode(video=0))
    rate = container.streams.video[0].average_rate
  return len(frames), frames[0].width, frames[0].height, rate


@pytest.mark.parametrize(
  ('size', 'expected'), [(720, (72, 50)), (34, (48, 34)), (33, (46, 32))]
)
def test_pictures_keep_their_shape_and_are_not_enlarged(
  decoder, tmp_path, size, expected
):
  """H.264 takes an even number of rows and columns.

  The pictures are those of the piece; x264's bytes differ between two calls in
  one process, if the height is no multiple of 16.
  """
  path = _write(tmp_path / 'a.avi', 72, 50)
  clip = decoder.run(path, lambda x: x.clip(1.0, 2.0, size, 2**20))
  assert _sizes(clip) == (10, *expected, 10)
  pictures = _pictures(clip)
  for number, picture in enumerate(pictures, start=10):
    np.testing.assert_allclose(picture, _grey(number), atol=9)  # step: 20


def test_a_high_rate_is_lowered(decoder, tmp_path):
  path = _write(tmp_path / 'a.mkv', 32, 32, rate=60)
  clip = decoder.run(path, lambda x: x.clip(0.0, 1.0, 720, 2**20))
  assert _sizes(clip) == (30, 32, 32, 30)


def test_what_is_refused(decoder, tmp_path):
  path = _write(tmp_path / 'a.mp4', 64, 64)
  with pytest.raises(RefusedError, match='shorter'):
    decoder.run(path, lambda x: x.clip(0.0, 3.0, 720, 500))
  with pytest.raises((TooShortError, NoPictureError)):
    decoder.run(path, lambda x: x.clip(9.0, 10.0, 720, 2**20))
  text = tmp_path / 'text.mp4'
  text.write_text('no video' * 99)
  for use in (lambda x: x.clip(0.0, 1.0, 720, 2**20), lambda x: x.streams()):
    with pytest.raises(MediaError, match=r'text\.mp4'):
      decoder.run(text, use)
  # The child goes on.
  assert decoder.run(path, lambda x: x.streams())['video'] == 'mpeg4'


def test_streams(decoder, tmp_path):
  media.write(tmp_path / 'a.avi', own_folder.tone(1, 2), seconds=2, codec='mp2')
  assert decoder.run(tmp_path / 'a.avi', lambda x: x.streams()) == {
    'format': 'avi',
    'video': 'mpeg4',
    'audio': 'mp2',
    'pixels': 'yuv420p',
  }
