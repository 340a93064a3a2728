"""Checks and converts the captions of a video."""

from typing import Any, NamedTuple

import numpy as np


class CaptionList(NamedTuple):
  """Captions of a video, in the order of the file.

  Attributes:
    starts: float64 [K], seconds.
    ends: float64 [K], seconds.
    texts: K texts.
  """

  starts: np.ndarray
  ends: np.ndarray
  texts: list[str]


NONE = CaptionList(np.zeros(0), np.zeros(0), [])


def parse(value: Any) -> CaptionList | None:
  """Converts {'start': [...], 'end': [...], 'text': [...]}.

  A caption whose text is missing (None or NaN) is left out.

  Args:
    value: as a file of captions holds it for a video.

  Returns:
    The captions; None if they are malformed.
  """
  try:
    starts, ends, texts = (value[key] for key in ('start', 'end', 'text'))
    # A list that is shared and malformed is not converted again and again.
    if not len(starts) == len(ends) == len(texts):
      return None
    starts, ends = (np.array(times, 'f8') for times in (starts, ends))
    kept = [i for i, text in enumerate(texts) if not _is_missing(text)]
    if starts.shape != (len(texts),) or starts.shape != ends.shape:
      return None
    if not np.isfinite([starts, ends]).all():
      return None
    texts = [str(text) for text in texts if not _is_missing(text)]
  except (LookupError, OverflowError, TypeError, ValueError):
    return None
  return CaptionList(starts[kept], ends[kept], texts)


def _is_missing(text: Any) -> bool:
  if isinstance(text, (float, np.ndarray)):
    return bool(np.isnan(text).all())
  return text is None
