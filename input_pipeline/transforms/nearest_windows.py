"""The nearest windows of a video that do not overlap with one of it."""

import itertools

from avl_jax.features import HOP_LENGTH, SAMPLE_RATE, clips

_FRAMES_A_SECOND = SAMPLE_RATE // HOP_LENGTH


def nearest_starts(
  length: int, num_frames: int, start: int, count: int
) -> list[int]:
  """Starts of a window and of the nearest ones that do not overlap with it.

  Args:
    length: frames of the video's spectrogram.
    num_frames: frames of a clip.
    start: second at which the window starts.
    count: number of windows.

  Returns:
    `start`; then, at distances of a window, rounded up to whole seconds, the
    one before, the one after, and so on, as far as they lie in the video. If
    these are too few, the same again.
  """
  if count == 1:
    return [start]
  stride = -(-num_frames // _FRAMES_A_SECOND)
  last = clips.whole_seconds(length) - clips.whole_seconds(num_frames)
  before = range(start - stride, -1, -stride)
  after = range(start + stride, last + 1, stride)
  others = sorted((*before, *after), key=lambda s: (abs(s - start), s))
  return list(itertools.islice(itertools.cycle([start, *others]), count))
