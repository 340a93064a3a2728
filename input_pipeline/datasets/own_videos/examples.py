"""Makes the examples of a video or clip; `builder` describes them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from avl_jax.features import FEATURE_RATES, clips
from input_pipeline.datasets.own_videos import manifest
from input_pipeline.datasets.own_videos.extracted import Extracted
from input_pipeline.datasets.own_videos.manifest import Caption
from input_pipeline.datasets.own_videos.tables import Line

WINDOW, REMAINDER = 10, 5  # seconds
Captions = Mapping[str, Sequence[Caption]]  # by id


def of_line(
  line: Line, captions: Sequence[Caption], extracted: Extracted
) -> Iterator[dict]:
  """Yields the examples of a usable line.

  Args:
    line: a video or clip, with its split.
    captions: with times, of an untrimmed video.
    extracted: has the arrays of the line.
  """
  item, arrays = line.item, extracted.arrays(line)
  seconds = clips.length(arrays)
  identity = {
    'id': item.id,
    'group': line.digest,
    'language': item.language,
    'source': manifest.spelled(item.path),
  }
  said = list(captions)
  if item.caption:
    said.insert(0, Caption(0.0, seconds, item.caption))
  if item.is_clip:
    times = {'start': item.start, 'end': item.end}
    yield identity | arrays | times | _captions(said)
  elif line.split == 'train':
    times = {'start': 0.0, 'end': seconds}
    yield identity | arrays | times | _captions(said)
  else:
    for start, end in windows(seconds):
      yield (
        identity
        | {'id': f'{item.id}@{start}', 'start': start, 'end': end}
        | cut(arrays, start, end)
        | _captions(_within(said, start, end))
      )


def windows(seconds: float) -> list[tuple[int, float]]:
  """(start, end) of the windows of a held-out video; see `builder`."""
  whole = int(seconds // WINDOW)
  found = [(WINDOW * i, WINDOW * (i + 1.0)) for i in range(whole)]
  if not whole or seconds - WINDOW * whole >= REMAINDER:
    found.append((WINDOW * whole, seconds))
  return found


def cut(
  arrays: Mapping[str, np.ndarray], start: int, end: float
) -> dict[str, np.ndarray]:
  """Cuts the arrays of a video from `start` to `end` seconds.

  A clip of the whole result equals the clip of the video, see
  `clips.cut_window`; the features at `end` are included.
  """
  first, last = clips.time_to_frame(start), clips.time_to_frame(end)
  found = {'spectrogram': arrays['spectrogram'][first:last]}
  for stream, rate in FEATURE_RATES.items():
    if stream in arrays:
      found[stream] = arrays[stream][int(start * rate) : int(end * rate) + 1]
  return found


def _within(said: Sequence[Caption], start: int, end: float) -> list[Caption]:
  """One caption: what has its middle in a window, with times in the window."""
  texts = [c.text for c in said if start <= (c.start + c.end) / 2 < end]
  return [Caption(0.0, end - start, ' '.join(texts))] if texts else []


def _captions(said: Sequence[Caption]) -> dict:
  return {
    'captions': [caption.text for caption in said],
    'caption_starts': np.array([caption.start for caption in said], 'f8'),
    'caption_ends': np.array([caption.end for caption in said], 'f8'),
  }
