"""Reads the recordings and images of spoken captions, with limits on size.

The files are untrusted. Files and recordings larger than a caption could be
are refused before they are decoded, and images (up to Pillow's limit) after
they are decoded.
"""

import os
import pathlib

import numpy as np
import soundfile

from avl_jax.features import (
  SAMPLE_RATE,
  MediaError,
  MissingError,
  RefusedError,
  audio,
  images,
)

NUM_FRAMES = 2_000  # 20 s
LARGEST_FILE = 2**26  # bytes of an image or a recording
LONGEST = 600  # seconds of a recording
MOST_SAMPLES = 2**26  # of a recording, in all channels
UNKNOWN = 2**53  # samples in the header of a file of unknown length, or more
MOST_PIXELS = 2**24  # of an image


def _check_size(path: pathlib.Path) -> None:
  if not os.path.isfile(path):  # also False for impossible names
    raise MissingError(f'{path}: There is no such file.')
  if path.stat().st_size > LARGEST_FILE:
    raise RefusedError(
      f'{path}: The file has {path.stat().st_size} bytes. Expected at most '
      f'{LARGEST_FILE}.'
    )


def read_spectrogram(path: pathlib.Path) -> np.ndarray:
  """Computes the spectrogram of the first 20 s of a recording.

  Args:
    path: of a file that libsndfile reads, such as WAV.

  Returns:
    float16 [T, 40], dB below the loudest cell of the whole recording.

  Raises:
    MediaError: the file is missing, empty or unreadable, or has more bytes,
      seconds or samples than a caption can have. Seconds and samples are taken
      from its header, if that knows them.
  """
  _check_size(path)
  try:
    with path.open('rb') as file:  # soundfile refuses names that are not UTF-8.
      header = soundfile.info(file) if path.stat().st_size else None
  except (soundfile.SoundFileError, TypeError) as error:
    raise MediaError(f'{path}: libsndfile cannot read the file.') from error
  if (
    header
    and header.frames < UNKNOWN
    and (
      header.duration > LONGEST
      or header.frames * header.channels > MOST_SAMPLES
    )
  ):
    raise RefusedError(
      f'{path}: The recording has {header.duration:.0f} s at '
      f'{header.samplerate} Hz. Expected at most {LONGEST} s and '
      f'{MOST_SAMPLES} samples.'
    )
  waveform = audio.read_audio(path, end=LONGEST + 1)
  if len(waveform) > LONGEST * SAMPLE_RATE:
    raise RefusedError(
      f'{path}: The recording is longer than {LONGEST} s. Expected at most '
      'that; cut it into captions.'
    )
  spectrogram = audio.log_mel_spectrogram(waveform)
  return spectrogram[:NUM_FRAMES].astype(np.float16)


def read_image_file(path: pathlib.Path) -> bytes:
  """Returns the content of an image file, after checking that it decodes.

  Raises:
    MediaError: the file is missing, empty or unreadable, or has more bytes or
      pixels than an image with a caption can have.
  """
  _check_size(path)
  content = path.read_bytes()
  height, width, _ = images.read_image(content).shape
  if height * width > MOST_PIXELS:
    raise RefusedError(
      f'{path}: The image has {width} x {height} pixels. Expected at most '
      f'{MOST_PIXELS} in all.'
    )
  return content
