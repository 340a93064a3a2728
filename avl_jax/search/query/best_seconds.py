"""Finds the second of a window that fits a question best."""

import dataclasses

import numpy as np

from avl_jax.search.store.index import Index, Window
from avl_jax.search.update import windows
from avl_jax.search.update.file_features import FileFeatures
from avl_jax.search.update.window_vectors import WindowVectors
from avl_jax.trained_model import TrainedModel

# Seconds around the middle of a second that are heard; one is too short for a
# word. Of pictures, the second itself is seen.
_HEARD = 2.0
_WITHIN = 1e-6  # The features at the end of a span belong to it.
_BARS = '▁▂▃▄▅▆▇█'


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
  """Scores of the seconds of a window.

  Attributes:
    seconds: float [n], starts of the seconds in the file.
    scores: float [n], of the question with each second alone; NaN: the second
      has no picture, or no sound.
  """

  seconds: np.ndarray
  scores: np.ndarray

  @property
  def best(self) -> float:
    """Start of the second with the largest score."""
    return float(self.seconds[np.nanargmax(self.scores)])

  def text(self) -> str:
    """A bar for each second, such as '▁▁▃█▂'; ' ' where there is nothing."""
    low, high = np.nanmin(self.scores), np.nanmax(self.scores)
    heights = (self.scores - low) / max(high - low, 1e-12)
    return ''.join(
      ' ' if np.isnan(x) else _BARS[round(x * (len(_BARS) - 1))]
      for x in heights
    )


def of_window(
  index: Index,
  trained: TrainedModel,
  window: Window,
  name: str,
  question: np.ndarray,
) -> Curve | None:
  """As `curve`, of the features that are kept beside an index, if they are."""
  features = FileFeatures(index.folder, index.description.networks)
  contents = {file.path: file.content for file in index.files()}
  arrays = features.kept(window.path, contents[window.path])
  embed = WindowVectors(trained, (name,))
  return curve(embed, arrays, window, name, question) if arrays else None


def curve(
  embed: WindowVectors,
  arrays: dict[str, np.ndarray],
  window: Window,
  name: str,
  question: np.ndarray,
) -> Curve | None:
  """Scores of the seconds of a window, from the features of each.

  Args:
    embed: embeds windows, with vectors `name`.
    arrays: features of the file, as `FileFeatures.kept` returns them.
    window: of the file.
    name: of the vectors that are compared, 'video', 'audio' or 'sum'.
    question: float32 [D].

  Returns:
    None: there is no second with such a vector, or only one.
  """
  arrays, length = windows.trim(arrays)
  end = min(window.end, length)
  seconds = np.arange(np.floor(window.start), end)
  seconds = seconds[(seconds + 1 <= np.ceil(end)) & (seconds < end)]
  if len(seconds) < 2:
    return None
  margin = (_HEARD - 1) / 2 if name == 'audio' else 0.0
  starts = np.maximum(seconds - margin, 0)
  ends = np.minimum(seconds + 1 + margin, length) - _WITHIN
  vectors, present = embed(arrays, np.stack([starts, ends], 1))
  # [seconds, D] x [D] -> [seconds]
  scores = np.where(present[name], vectors[name] @ question, np.nan)
  if np.isfinite(scores).sum() < 2:
    return None
  return Curve(seconds, scores)
