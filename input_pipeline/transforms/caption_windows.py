"""Windows of a video around its captions."""

import numpy as np

from avl_jax.features import clips


def caption_window(
  starts: np.ndarray, ends: np.ndarray, index: int, min_time: float
) -> list[int]:
  """Joins neighbours to a caption until they last `min_time` seconds.

  Each step adds the neighbour that makes the shorter window; if both make it
  equally long, the previous one (`youtube_dataloader.py`).

  Args:
    starts: [K] seconds at which captions begin.
    ends: [K] seconds at which they end.
    index: of the caption in the middle.
    min_time: seconds; a window is shorter only if there are no more captions.

  Returns:
    Indices of the captions in the order in which they joined. The window lasts
    from the start of the least index to the end of the greatest.
  """
  first = last = index
  joined = [index]
  while ends[last] - starts[first] < min_time:
    before = ends[last] - starts[first - 1] if first > 0 else np.inf
    after = ends[last + 1] - starts[first] if last + 1 < len(ends) else np.inf
    if np.isinf(before) and np.isinf(after):
      break
    if before <= after:
      first -= 1
      joined.append(first)
    else:
      last += 1
      joined.append(last)
  return joined


def caption_clip(
  example: dict,
  index: int,
  *,
  num_frames: int,
  min_time: float,
  order: str = 'time',
  visual_pooling: str = 'max',
) -> dict:
  """Cuts the window around a caption, see `caption_window`.

  Args:
    example: an untrimmed video with captions [K], caption_starts [K] and
      caption_ends [K].
    index: of the caption.
    num_frames: frames of a clip; a longer window is cropped at its end.
    min_time: seconds.
    order: of the joined captions: 'time', or 'release', the order in which
      they joined.
    visual_pooling: see `clips.pool_visual`.

  Returns:
    As `clips.cut_clip`, and 'caption': str. The window's times are clamped at
    0. The release reads from the end of the spectrogram if a caption starts
    within the first 12.5 ms, and mostly finds nothing.
  """
  starts, ends = example['caption_starts'], example['caption_ends']
  joined = caption_window(starts, ends, index, min_time)
  start, end = float(starts[min(joined)]), float(ends[max(joined)])
  chosen = sorted(joined) if order == 'time' else joined
  caption = b' '.join(example['captions'][i] for i in chosen).decode()
  clip = clips.cut_window(example, start, end, num_frames, visual_pooling)
  return clip | {'caption': caption}
