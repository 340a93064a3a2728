"""Turns media into the NumPy arrays that the models take, without JAX."""

import enum

from avl_jax.errors import UserError

SAMPLE_RATE = 16_000  # Hz, of every waveform that is not a file's own
MEL_BINS = 40  # of a spectrogram
WINDOW_LENGTH = 400  # samples of a frame, 25 ms
HOP_LENGTH = 160  # samples from frame to frame: 100 frames per second
FEATURE_RATES = {'visual_2d': 1.0, 'visual_3d': 1.5}  # features per second
STREAMS = tuple(FEATURE_RATES)  # of visual features
VISUAL_POOLINGS = ('max', 'centre')  # of the features in a clip
IMAGE = ('image',)  # in place of the streams: an image encoder is in the loop


class Status(enum.StrEnum):
  """What became of a file or another item of a data set; the only words for it.

  Attributes:
    OK: used.
    NO_PICTURE: it has no stream of pictures.
    NO_SOUND: it has no stream of sound.
    SILENT: its sound is not audible.
    TOO_SHORT: it has nothing in the piece that is asked for, or less than the
      data set takes.
    UNREADABLE: damaged, malformed, or an error while it was read.
    REFUSED: of a format, codec or size that the project does not read, or over
      a limit.
    TIMED_OUT: reading took too long.
    DUPLICATE: listed or present twice; the other one is used.
    UNSAFE_NAME: the name leads out of the folder, or is no file name.
    MISSING: listed, but not there.
  """

  OK = 'ok'
  NO_PICTURE = 'no picture'
  NO_SOUND = 'no sound'
  SILENT = 'silent'
  TOO_SHORT = 'too short'
  UNREADABLE = 'unreadable'
  REFUSED = 'refused'
  TIMED_OUT = 'timed out'
  DUPLICATE = 'duplicate'
  UNSAFE_NAME = 'unsafe name'
  MISSING = 'missing'


class MediaError(UserError, ValueError):
  """A video, image or recording that cannot be used; the message names it.

  Attributes:
    reason: the word under which the file is listed as skipped.
  """

  reason: Status = Status.UNREADABLE


class EmptyMediaError(MediaError):
  """A file of 0 bytes."""


class MissingError(MediaError):
  """A file that does not exist, or is no regular file."""

  reason = Status.MISSING


class UnsafeNameError(MediaError):
  """A name that leads out of its folder, or that no file can have."""

  reason = Status.UNSAFE_NAME


class NoPictureError(MediaError):
  """A file without a stream of pictures."""

  reason = Status.NO_PICTURE


class NoAudioError(MediaError):
  """A file without a stream of sound."""

  reason = Status.NO_SOUND


class SilentMediaError(MediaError):
  """A recording that contains nothing audible."""

  reason = Status.SILENT


class TooShortError(MediaError):
  """A file with no sample or picture in the piece that is asked for."""

  reason = Status.TOO_SHORT


class RefusedError(MediaError):
  """A format, codec or size that is not read, or a file over a limit."""

  reason = Status.REFUSED


class TimedOutError(MediaError):
  """A file that takes too long to read."""

  reason = Status.TIMED_OUT


class UnexpectedError(MediaError):
  """An error that no reader foresees: of the file, or of this program."""


class NetworkError(Exception):
  """A network fails on what was read. It is no fault of the file."""
