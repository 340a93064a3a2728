"""Vectors of the windows of a file, as evaluations embed clips."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from avl_jax.features import HOP_LENGTH, SAMPLE_RATE, clips
from avl_jax.models import davenet
from avl_jax.search.update import windows
from avl_jax.trained_model import TrainedModel

# Windows that are embedded at a time. Always so many, so that a file's vectors
# do not depend on what else is indexed, down to the last bit.
BATCH_SIZE = 8
_INPUTS = {  # of the model: name of the vector -> what it is made of
  'audio': ('spectrogram', 'num_frames'),
  'video': ('visual',),
}

Vectors = dict[str, np.ndarray]


class WindowVectors:
  """Embeds the windows of files with a model.

  Example:
    embed = WindowVectors(avl_jax.load('runs/stamps'), ('video', 'audio'))
    vectors, present = embed(arrays, windows.lay(seconds, 10.0, 5.0))
    vectors['video'], present['video']  # float32 [n, D], bool [n]
  """

  def __init__(
    self,
    trained: TrainedModel,
    names: Sequence[str],
    longest: float = math.inf,
  ):
    """Takes the model.

    Args:
      trained: the model.
      names: of the vectors: 'video', 'audio', or 'sum', which is both added.
      longest: seconds of the longest window. Spectrograms are padded as far as
        it matters to the result, but for rounding.
    """
    self._trained, self._names = trained, tuple(names)
    self._num_frames = _padded(trained, longest)

  def __call__(
    self, arrays: Mapping[str, np.ndarray], spans: np.ndarray
  ) -> tuple[Vectors, dict[str, np.ndarray]]:
    """Embeds the windows of a file.

    Args:
      arrays: features of the file, see `windows.trim`.
      spans: [n, 2], start and end of the windows in seconds.

    Returns:
      name -> float32 [n, D], and name -> bool [n], whether the window has what
      the vector is made of. The other rows are zero.
    """
    streams = self._trained.visual.streams
    arrays = clips.choose_streams(dict(arrays), streams)
    made_of = {
      'audio': ['spectrogram'],
      'video': [name for name in arrays if name in streams],
    }
    wanted = [n for n in made_of if n in self._names or 'sum' in self._names]
    present = {n: windows.has(arrays, made_of[n], spans) for n in wanted}
    vectors = {n: self._embed(n, arrays, spans, present[n]) for n in wanted}
    if 'sum' in self._names:
      present['sum'] = present['audio'] & present['video']
      vectors['sum'] = np.where(
        present['sum'][:, None],
        vectors['audio'] + vectors['video'],
        np.float32(0),
      )
    names = self._names
    return {n: vectors[n] for n in names}, {n: present[n] for n in names}

  def _embed(
    self,
    name: str,
    arrays: Mapping[str, np.ndarray],
    spans: np.ndarray,
    present: np.ndarray,
  ) -> np.ndarray:
    """float32 [n, D]: the vectors of the windows that have them, or zeros."""
    trained = self._trained
    vectors = np.zeros((len(spans), trained.model.embed_dim), np.float32)
    rows = np.flatnonzero(present)
    for start in range(0, len(rows), BATCH_SIZE):
      some = rows[start : start + BATCH_SIZE]
      filled = np.pad(some, (0, BATCH_SIZE - len(some)), 'edge')
      batch = windows.inputs(
        arrays, spans[filled], self._num_frames, trained.visual.pooling
      )
      inputs = {key: batch[key] for key in _INPUTS[name]}
      vectors[some] = trained.embed_batch(inputs)[name][: len(some)]
    return vectors


def _padded(trained: TrainedModel, longest: float) -> int:
  """Frames to which spectrograms of windows are padded."""
  most = trained.num_frames
  frames = min(longest * SAMPLE_RATE / HOP_LENGTH, most)
  blocks = trained.model.blocks
  stride = 2 ** len(blocks)
  needed = math.ceil((frames + davenet.reach(blocks)) / stride) * stride
  return min(most, needed)
