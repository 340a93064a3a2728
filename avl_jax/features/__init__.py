"""Media to numpy: what the models eat. Nothing here needs JAX."""

from avl_jax.errors import UserError

SAMPLE_RATE = 16_000  # Hz, of every waveform that is not a file's own
MEL_BINS = 40  # of a spectrogram
WINDOW_LENGTH = 400  # samples of a frame, 25 ms
HOP_LENGTH = 160  # samples from frame to frame: 100 frames a second
FEATURE_RATES = {'visual_2d': 1.0, 'visual_3d': 1.5}  # features a second
STREAMS = tuple(FEATURE_RATES)  # of visual features
IMAGE = ('image',)  # in place of the streams: an image encoder is in the loop


class MediaError(UserError, ValueError):
  """A video, image or sound that cannot be used; the message names it.

  Attributes:
    reason: in a word, for counting.
  """

  reason = 'unreadable'


class EmptyMediaError(MediaError):
  """There is nothing in the file: no bytes, no samples."""

  reason = 'empty'


class SilentMediaError(MediaError):
  """There is sound in the file, but nothing to hear."""

  reason = 'silent'


class NoAudioError(MediaError):
  """A video without a sound track."""

  reason = 'no audio'


class BeyondEndError(MediaError):
  """A piece of a recording that begins where the recording has ended."""

  reason = 'beyond the end'
