"""Finds the voice in a recording, to cut off the pauses around a question.

Whoever records waits a moment before the first word and after the last one.
Models learn from recordings without such pauses, and silence around a word
changes its vector more than the word does. The page does the same in the
browser (`page/static/js/trim.js`).
"""

import numpy as np

from avl_jax.features import SAMPLE_RATE

_FRAME = SAMPLE_RATE // 50
_MARGIN = round(0.12 * SAMPLE_RATE)  # stays before and behind the voice
_STEADY = 4  # loud frames in a row; a click has fewer
_LOUD = 8  # the eighth loudest frame is of the voice, not of clicks
_ABOVE = 8  # dB above the noise, from which a frame is loud
_WEAKEST, _STRONGEST = 40, 10  # dB below the loud frames, likewise
_NOTHING = 1e-5  # loudness of digital silence


def without_pauses(waveform: np.ndarray) -> np.ndarray:
  """The part of a recording that has the voice.

  Args:
    waveform: [samples] at 16 kHz, full scale 1.

  Returns:
    [samples], a view; all of them if no voice is found.
  """
  count = len(waveform) // _FRAME
  frames = waveform[: count * _FRAME].reshape(count, _FRAME)
  power = np.square(frames, dtype=np.float64).mean(1)
  levels = 20 * np.log10(np.maximum(_NOTHING, np.sqrt(power)))
  if count < _STEADY:
    return waveform
  is_loud = levels > _limit(levels)
  steady = np.lib.stride_tricks.sliding_window_view(is_loud, _STEADY).all(1)
  (starts,) = np.nonzero(steady)
  if not len(starts):
    return waveform
  first, end = starts[0] * _FRAME, (starts[-1] + _STEADY) * _FRAME
  return waveform[max(0, first - _MARGIN) : end + _MARGIN]


def _limit(levels: np.ndarray) -> float:
  """What is louder than this is voice, dB."""
  ordered = np.sort(levels)
  noise, loud = ordered[len(levels) // 10], ordered[-min(_LOUD, len(levels))]
  return min(max(noise + _ABOVE, loud - _WEAKEST), loud - _STRONGEST)
