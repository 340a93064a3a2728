"""Questions to an index that are in memory: sound, a picture, words, a vector.

Those in files are made in `question_files`.
"""

import dataclasses

import numpy as np
import soxr

from avl_jax import trained_model
from avl_jax.errors import ConfigError, UserError
from avl_jax.features import SAMPLE_RATE
from avl_jax.search.store.index import Index
from avl_jax.trained_model import TrainedModel

_LIKE = ('video', 'sum', 'audio')  # what a window is like, the first it has


@dataclasses.dataclass(frozen=True, eq=False)
class Question:
  """A question as the index takes it.

  Attributes:
    name: of the file, or what else was asked, for people.
    branch: of the model, which embedded it: 'audio', 'video' or 'text'; '': it
      was given as a vector.
    vector: float32 [D].
  """

  name: str
  branch: str
  vector: np.ndarray


def of_vector(vector: np.ndarray) -> Question:
  """The question of a vector [D], such as `avl_jax.embed` makes it.

  Raises:
    UserError: it is no vector of finite numbers.
  """
  vector = np.asarray(vector)
  fits = vector.ndim == 1 and vector.dtype.kind == 'f' and vector.size
  if not fits or not np.isfinite(vector).all():
    raise UserError(
      f'The question is an array {vector.dtype} {vector.shape}. Expected a '
      'vector [D] of finite floating-point numbers; sound with its `rate`; or '
      'a picture, uint8 [H, W, 3].'
    )
  return Question('a vector', '', vector.astype(np.float32))


def check(question: Question, dim: int, count: int, threshold: float) -> None:
  """Raises UserError unless vectors [D] can answer; see `Searcher.answer`."""
  if count < 1 or not 0 <= threshold <= 1:
    raise ConfigError(
      f'The count of answers is {count}, and the threshold {threshold}. '
      'Expected at least one answer, and a threshold from 0 to 1.'
    )
  if len(question.vector) != dim:
    raise UserError(
      f'The question has {len(question.vector):,} numbers, but the vectors of '
      f'the index have {dim:,}. Expected a vector of `avl_jax.embed` with the '
      'model of the index. If it is sound, name its rate in Hz: '
      'search(sound, rate=16_000).'
    )


def of_window(index: Index, row: int) -> Question:
  """The question for what is like a window of an index.

  It asks with the window's own vector: 'video', or that of what it has.
  """
  window = index.window(row)
  name = next(
    name
    for name in sorted(index.description.names, key=_LIKE.index)
    if row in index.rows_with(name)
  )
  return Question(
    f'{window.path}@{window.start:g}-{window.end:g}',
    '' if name == 'sum' else name,
    index.vectors(name, [row])[0],
  )


def of_words(trained: TrainedModel, words: str) -> Question:
  """The question of written words.

  Raises:
    UserError: the model takes no text, or none of these words.
  """
  if not np.any(trained.words([words])[0]):
    raise UserError(
      f'The model knows none of the words of {words!r}. Expected words of its '
      'language.'
    )
  vector = trained_model.embed(trained, text=words)['text'][0]
  return Question(repr(words), 'text', vector)


def of_array(
  trained: TrainedModel, array: np.ndarray, rate: int | None
) -> Question:
  """The question of sound or a picture in memory.

  Args:
    trained: the model.
    array: with a `rate`, sound [samples] or [samples, channels], floating
      with full scale 1, or int16; else a picture, uint8 [H, W, 3].
    rate: of the sound, Hz.

  Raises:
    UserError: it is neither, or silent.
  """
  if rate is not None:
    sound = trained_model.embed(trained, audio=_mono(array, rate))
    return Question('sound', 'audio', sound['audio'][0])
  picture = trained_model.embed(trained, image=array)
  return Question('a picture', 'video', picture['video'][0])


def _mono(array: np.ndarray, rate: int) -> np.ndarray:
  """Sound as `embed` takes it: float32 [samples] at 16 kHz."""
  if not 1000 <= rate <= 768_000:
    raise UserError(f"The rate is {rate}. Expected the sound's, in Hz.")
  if array.dtype == np.int16:
    array = array / np.float32(2**15)
  if array.ndim == 2 and array.dtype.kind == 'f':
    array = array.mean(1)
  if array.ndim != 1 or array.dtype.kind != 'f' or not array.size:
    raise UserError(
      f'The sound is an array {array.dtype} {array.shape}. Expected '
      '[samples] or [samples, channels], floating-point with full scale 1, or '
      'int16.'
    )
  array = array.astype(np.float32)
  if rate == SAMPLE_RATE:
    return array
  return soxr.resample(array, rate, SAMPLE_RATE, quality='HQ')
