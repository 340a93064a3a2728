"""Checks of what a child answers, before it is believed.

A file may have taken over the child.
"""

from avl_jax.extraction.decoding import protocol
from avl_jax.extraction.decoding.process import EndedError

_MOST_PIXELS = 2**27  # of a picture; Pillow refuses fewer
_MOST_ELONGATED = 11  # longer side / shorter side, see `ffmpeg.filters`


def shape(answer: dict, axes: int) -> list[int]:
  """The shape of an array; EndedError if it is none."""
  found = answer.get('shape')
  if (
    not isinstance(found, list)
    or len(found) != axes
    or not all(type(n) is int and n > 0 for n in found)
  ):
    raise EndedError(f'an array [{found}]'[:200])
  return found


def is_picture(count: int, shape: list[int], size: int, crop: bool) -> bool:
  """Whether pictures have a size that was asked for."""
  height, width, channels = shape
  longest = size if crop else _MOST_ELONGATED * size
  fits = min(height, width) == size and max(height, width) <= longest
  # The last picture of a message may exceed the size of messages.
  is_small = (count - 1) * height * width * channels < protocol.CHUNK
  return channels == 3 and fits and is_small


def check_still(shape: list[int]) -> None:
  """Raises EndedError unless a shape is that of a picture file."""
  height, width, channels = shape
  if channels != 3 or height * width > _MOST_PIXELS:
    raise EndedError(f'a picture {shape}')
