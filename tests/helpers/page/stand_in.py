"""Takes the place of a trained model: sounds and pictures ask for colours.

The vector of a second has a number for each colour of `drawn.COLOURS`; that of
a window is the mean of its seconds. The index is a real one, of these vectors;
only what embeds is replaced.
"""

import contextlib
import hashlib
import math
import pathlib
import types

import numpy as np
import pytest

from avl_jax import trained_model
from avl_jax.retrieval import evaluation
from avl_jax.search.query import best_seconds, compatibility, question_files
from avl_jax.search.store.index import Description, Index, IndexedFile
from tests.helpers.page import drawn

WINDOW, STEP = 4, 2  # seconds
LOUD = 10.0  # length of the vector of a second that shows a colour
DESCRIPTION = Description(
  model='m1',
  branch='b1',
  networks={'visual_2d': 'efficientnet_lite0'},
  window=float(WINDOW),
  step=float(STEP),
  names=('video', 'audio'),
  dim=len(drawn.COLOURS),
)


heard: list[np.ndarray] = []  # sounds that were asked, at 16 kHz


def vector(colour: str) -> np.ndarray:
  """float32 [D], of what shows a colour, or asks for it."""
  return np.float32([LOUD * (name == colour) for name in drawn.COLOURS])


def question(colour: str) -> np.ndarray:
  """float32 [D]."""
  return vector(colour) / LOUD


def seconds_of(path: str) -> np.ndarray:
  """float32 [S, D], of the seconds of a drawn file."""
  return np.stack([vector(colour) for colour in drawn.colours(path)])


def embed(trained, *, audio=None, image=None, text=None) -> dict:
  """As `trained_model.embed`, of one item."""
  if audio is not None:
    heard.append(audio)
    return {'audio': question(drawn.colour_of(audio))[None]}
  if text is not None:
    return {'text': question(text[0] if isinstance(text, list) else text)[None]}
  middle = image[image.shape[0] // 2, image.shape[1] // 2]
  return {'video': question(drawn.nearest(middle))[None]}


def curve(index, trained, window, name, question) -> best_seconds.Curve | None:
  """As `best_seconds.of_window`."""
  rows = seconds_of(window.path)
  seconds = np.arange(window.start, min(window.end, len(rows)))
  scores = rows[seconds.astype(int)] @ question
  return best_seconds.Curve(seconds, scores)


class WindowVectors:
  """As that of `window_vectors`, of a question's pictures."""

  def __init__(self, trained, names):
    self._names = names

  def __call__(self, arrays, spans):
    (name,) = self._names
    rows = np.float32(arrays['visual_2d']).mean(0, keepdims=True)
    return {name: rows / LOUD}, {name: np.ones(1, bool)}


def extract(path, start, end, frames):
  """Features of the seconds of a video: the colours of their middles."""
  rows = [
    vector(drawn.nearest(x[x.shape[0] // 2, x.shape[1] // 2]))
    for x in frames(1, 48, False, start, end)
  ]
  return {'visual_2d': np.float32(rows)}


def load(_):
  """The model that a searcher is given."""
  return types.SimpleNamespace(
    model=types.SimpleNamespace(word_dim=8, embed_dim=DESCRIPTION.dim),
    variables={},
    words=lambda texts: [np.ones((1, 8), np.float32) for _ in texts],
    visual=types.SimpleNamespace(extractor=extract),
  )


def recordings(_) -> np.ndarray:
  """Background questions, float32 [B, D]: vague ones and some clear ones."""
  rng = np.random.default_rng(3)
  vague = rng.uniform(0, 0.2, (390, DESCRIPTION.dim))
  clear = [0.9 * question(colour) for colour in drawn.COLOURS]
  return np.float32([*vague, *clear, *clear])


@contextlib.contextmanager
def replaced_model():
  """Context in which the model is replaced, in all threads."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(trained_model, 'embed', embed)
    patch.setattr(evaluation, 'fingerprint', lambda _: DESCRIPTION.model)
    patch.setattr(compatibility, 'check_branch', lambda *_: None)
    patch.setattr(compatibility, 'check_question', lambda *_: None)
    patch.setattr(best_seconds, 'of_window', curve)
    patch.setattr(question_files, 'WindowVectors', WindowVectors)
    yield


def make_index(folder: pathlib.Path, media_dir: pathlib.Path) -> None:
  """Makes an index of the drawn files."""
  with Index.create(folder, DESCRIPTION) as index:
    for path in drawn.ALL:
      index.add(*_entry(media_dir, path))


def _entry(media_dir: pathlib.Path, path: str) -> tuple:
  """What `Index.add` wants of a file."""
  file = media_dir / path
  rows = seconds_of(path)
  is_picture, is_sound = path == drawn.PICTURE, path == drawn.SOUND
  last = max(1, math.ceil((len(rows) - WINDOW) / STEP) + 1)
  spans = [(STEP * i, min(STEP * i + WINDOW, len(rows))) for i in range(last)]
  vectors = np.stack([rows[start:end].mean(0) for start, end in spans])
  described = IndexedFile(
    path=path,
    content=hashlib.sha256(file.read_bytes()).hexdigest(),
    size=file.stat().st_size,
    modified=file.stat().st_mtime_ns,
    seconds=0.0 if is_picture else float(len(rows)),
  )
  windows = np.zeros((1, 2)) if is_picture else np.float64(spans)
  has = np.ones(len(spans), bool)
  return (
    described,
    windows,
    {'video': vectors, 'audio': vectors},
    {'video': has & (not is_sound), 'audio': has & (not is_picture)},
  )
