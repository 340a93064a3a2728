"""Media to numpy: what the models eat. Nothing here needs JAX."""

from avl_jax.errors import UserError


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
