"""Per-example functions: clips, padding, pooling, normalisation; numpy."""

from collections.abc import Sequence

import numpy as np

from avl_jax.features import (
  FEATURE_RATES,
  HOP_LENGTH,
  SAMPLE_RATE,
  WINDOW_LENGTH,
  float16,
)


def pad_or_crop(spectrogram: np.ndarray, num_frames: int) -> np.ndarray:
  """[T, 40] dB to float32 [num_frames, 40], zeros behind a short one.

  Zero is 0 dB, the loudest value there is, as in the release: pooling must be
  masked where that matters.
  """
  padded = np.empty((num_frames, spectrogram.shape[1]), np.float32)
  length = min(len(spectrogram), num_frames)
  float16.to_float32(spectrogram[:length], padded[:length])
  padded[length:] = 0
  return padded


def choose_streams(example: dict, streams: Sequence[str]) -> dict:
  """The example without the features that `streams` does not name."""
  return {
    name: value
    for name, value in example.items()
    if name not in FEATURE_RATES or name in streams
  }


def pool_visual(example: dict, start: float = 0, end: float = np.inf):
  """Max over the features from `start` to `end` seconds, L2-normalised.

  Args:
    example: with visual_2d [S, V] and/or visual_3d [S', V'] at one and 1.5
      features a second.
    start: seconds; whole seconds for the release's windows.
    end: seconds, its own feature included.

  Returns:
    float32 [V + V']: each stream normalised by itself (eps 1e-12), 2-D first;
    a stream without features in the window is zero.
  """
  streams = []
  for name, rate in FEATURE_RATES.items():
    if name not in example:
      continue
    features = example[name]
    last = len(features) if np.isinf(end) else int(end * rate) + 1
    window = features[int(start * rate) : last]
    if len(window):
      pooled = float16.column_maxima(window)
    else:
      pooled = np.zeros(features.shape[1], np.float32)
    streams.append(pooled / max(np.sqrt(pooled.dot(pooled)), 1e-12))
  return np.concatenate(streams)


def time_to_frame(seconds: float) -> int:
  """Frame at a time, as librosa.time_to_frames with n_fft=400; 0 at least.

  The release lets times before 0.0125 s become negative and then reads from
  the end in its caption windows; here they are clamped everywhere.
  """
  return max(0, (int(seconds * SAMPLE_RATE) - WINDOW_LENGTH // 2) // HOP_LENGTH)


def _whole_seconds(num_frames: int) -> int:
  return (num_frames * HOP_LENGTH + WINDOW_LENGTH // 2) // SAMPLE_RATE


def random_starts(
  length: int, num_frames: int, clips: int, rng: np.random.Generator
) -> np.ndarray:
  """Start seconds of random windows in an untrimmed video.

  Whole seconds, drawn with replacement; windows may overlap or repeat, as in
  the release's `youtube_dataloader.py`.

  Args:
    length: frames of the video's spectrogram.
    num_frames: frames of a clip.
    clips: number of windows.
    rng: of this (seed, epoch, video).

  Returns:
    int [clips], from range(max(1, D - (W + 1))), D and W the durations in
    whole seconds.
  """
  last = _whole_seconds(length) - (_whole_seconds(num_frames) + 1)
  return rng.integers(0, max(1, last), clips)


def cut_clip(example: dict, start: int, num_frames: int) -> dict:
  """The window of `num_frames` from `start` seconds of an untrimmed video.

  Returns:
    {'spectrogram': float32 [num_frames, 40], 'num_frames': int,
    'visual': float32 [V]}.
  """
  visual = pool_visual(example, start, start + _whole_seconds(num_frames))
  frames = example['spectrogram'][time_to_frame(start) :]
  return _clip(frames, num_frames, visual=visual)


def caption_window(
  starts: np.ndarray, ends: np.ndarray, index: int, min_time: float
) -> list[int]:
  """A caption and neighbours until they last `min_time` seconds.

  Each time the neighbour joins that makes the window shorter, the previous
  one if they are alike (`youtube_dataloader.py`).

  Args:
    starts: [K] seconds at which captions begin.
    ends: [K] seconds at which they end.
    index: of the caption in the middle.
    min_time: seconds; less only if there are no more captions.

  Returns:
    The captions' indices in the order in which they joined; the window is
    from the start of the least to the end of the greatest.
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
) -> dict:
  """The window around a caption, see `caption_window`, as a clip.

  Args:
    example: an untrimmed video with captions [K], caption_starts [K] and
      caption_ends [K].
    index: of the caption.
    num_frames: frames of a clip; a longer window is cropped at its end.
    min_time: seconds.
    order: of the words: 'time', or 'release', where each joins at the end.

  Returns:
    As `cut_clip`, and 'caption': str. The window's times are clamped at 0;
    the release reads from the spectrogram's end if a caption starts within
    the first 12.5 ms, and mostly finds nothing.
  """
  starts, ends = example['caption_starts'], example['caption_ends']
  joined = caption_window(starts, ends, index, min_time)
  start, end = float(starts[min(joined)]), float(ends[max(joined)])
  frames = example['spectrogram'][time_to_frame(start) : time_to_frame(end)]
  texts = [
    example['captions'][i]
    for i in (sorted(joined) if order == 'time' else joined)
  ]
  caption = b' '.join(texts).decode()
  visual = pool_visual(example, start, end)
  return _clip(frames, num_frames, visual=visual) | {'caption': caption}


def whole_clip(example: dict, num_frames: int) -> dict:
  """The whole recording, cropped or padded, as one clip; see `cut_clip`.

  An example with a `picture`, uint8 [224, 224, 3], has it as 'image' instead of
  'visual'.
  """
  if 'picture' in example:
    seen = {'image': example['picture']}
  else:
    seen = {'visual': pool_visual(example)}
  return _clip(example['spectrogram'], num_frames, **seen)


def _clip(spectrogram: np.ndarray, num_frames: int, **seen: np.ndarray) -> dict:
  return {
    'spectrogram': pad_or_crop(spectrogram, num_frames),
    'num_frames': np.int32(min(len(spectrogram), num_frames)),
    **seen,
  }


def draw_caption(example: dict, rng: np.random.Generator) -> str:
  """One of a clip's `captions`, each as likely, as in training on MSR-VTT.

  A clip without a caption has ''.
  """
  captions = example['captions']
  return captions[rng.integers(len(captions))].decode() if len(captions) else ''


def fixed_caption(example: dict) -> str:
  """The caption of evaluation: `eval_caption`, or else the first."""
  captions = [*example['captions'], b'']
  return example.get('eval_caption', captions[0]).decode()
