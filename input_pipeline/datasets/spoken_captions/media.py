"""Recordings and images of spoken captions, read with care.

They come from outside: what is larger than a caption's could be is refused,
files and recordings before they are decoded, images of up to Pillow's limit
after that.
"""

import os
import pathlib

import numpy as np
import soundfile

from avl_jax.features import MediaError, audio, images

NUM_FRAMES = 2_000  # 20 s
LARGEST_FILE = 2**26  # bytes of an image or a recording
LONGEST = 600  # seconds of a recording that is read
MOST_SAMPLES = 2**26  # of all its channels
MOST_PIXELS = 2**24


class NoFileError(MediaError):
  """There is no such file, or something else than a file."""

  reason = 'no file'


class TooLargeError(MediaError):
  """There is more in the file than such a file has."""

  reason = 'too large'


def _check_size(path: pathlib.Path) -> None:
  if not os.path.isfile(path):  # False for names that no file can have, too.
    raise NoFileError(f'{path}: no such file')
  if path.stat().st_size > LARGEST_FILE:
    raise TooLargeError(f'{path} has more than {LARGEST_FILE} bytes')


def read_spectrogram(path: pathlib.Path) -> np.ndarray:
  """float16 [T, 40], the first 20 s of a recording.

  Args:
    path: of a file that libsndfile reads, WAV for one.

  Raises:
    MediaError: it is missing, empty, unreadable, or has more bytes, seconds or
      samples than a caption could have; the last are read off its header.
  """
  _check_size(path)
  try:
    header = soundfile.info(path) if path.stat().st_size else None
  except (soundfile.SoundFileError, TypeError) as error:
    raise MediaError(f'{path}: libsndfile does not read it') from error
  if header and (
    header.duration > LONGEST or header.frames * header.channels > MOST_SAMPLES
  ):
    raise TooLargeError(
      f'{path} lasts {header.duration:.0f} s at {header.samplerate} Hz; at '
      f'most {LONGEST} s and {MOST_SAMPLES} samples are read'
    )
  spectrogram = audio.log_mel_spectrogram(audio.read_audio(path))
  return spectrogram[:NUM_FRAMES].astype(np.float16)


def read_image_file(path: pathlib.Path) -> bytes:
  """The content of an image file, which has been read.

  Raises:
    MediaError: it is missing, empty, unreadable, or has more bytes or pixels
      than such an image has.
  """
  _check_size(path)
  content = path.read_bytes()
  height, width, _ = images.read_image(content).shape
  if height * width > MOST_PIXELS:
    raise TooLargeError(
      f'{path} has {width} x {height} pixels, at most {MOST_PIXELS} are kept'
    )
  return content
