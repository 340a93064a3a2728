"""Turns media into the NumPy arrays that the models take, without JAX."""

from avl_jax.errors import UserError

SAMPLE_RATE = 16_000  # Hz, of every waveform that is not a file's own
MEL_BINS = 40  # of a spectrogram
WINDOW_LENGTH = 400  # samples of a frame, 25 ms
HOP_LENGTH = 160  # samples from frame to frame: 100 frames per second
FEATURE_RATES = {'visual_2d': 1.0, 'visual_3d': 1.5}  # features per second
STREAMS = tuple(FEATURE_RATES)  # of visual features
IMAGE = ('image',)  # in place of the streams: an image encoder is in the loop


class MediaError(UserError, ValueError):
  """A video, image or recording that cannot be used; the message names it.

  Attributes:
    reason: short name of the kind of error, under which skipped files are
      counted.
  """

  reason = 'unreadable'


class EmptyMediaError(MediaError):
  """A file without content: no bytes, or no samples."""

  reason = 'empty'


class SilentMediaError(MediaError):
  """A recording that contains nothing audible."""

  reason = 'silent'


class NoAudioError(MediaError):
  """A video without an audio stream."""

  reason = 'no audio'


class BeyondEndError(MediaError):
  """A piece of a recording that starts after the end of the recording."""

  reason = 'beyond the end'
