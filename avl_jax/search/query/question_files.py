"""Questions to an index that are in files: sound, a picture or a clip.

Sound and videos may be untrusted: they are decoded in a child process,
as those of the index are.
"""

import contextlib
import os
import pathlib
import re
import sys
import tempfile
from collections.abc import Callable, Iterator

import numpy as np

from avl_jax import trained_model
from avl_jax.errors import ConfigError, UserError
from avl_jax.extraction import media_folder
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.extraction.model_inputs import Source
from avl_jax.features import (
  MEL_BINS,
  EmptyMediaError,
  MediaError,
  NoPictureError,
  RefusedError,
  TooShortError,
  audio,
  pauses,
  reading,
)
from avl_jax.search.query import questions
from avl_jax.search.query.questions import Question
from avl_jax.search.update.window_vectors import WindowVectors
from avl_jax.trained_model import TrainedModel

STDIN = '-'
MOST_BYTES = 64 * 2**20  # of sound that has no file
PARTS = ('', 'sound', 'picture')  # of a file with both
# FILE@12-19.5; the file's own name may have an '@'.
_SPAN = re.compile(r'(?P<file>.+)@(?P<start>[\d.]+)-(?P<end>[\d.]+)', re.DOTALL)


def make(
  trained: Callable[[], TrainedModel],
  decoder: Decoder,
  query: Source | None,
  *,
  rate: int | None = None,
  words: str = '',
  part: str = '',
) -> Question:
  """Makes a question of whatever a user asks; see `Searcher.search`.

  Args:
    trained: returns the model; not called for a vector.
    decoder: of files.
    query: a file or an array; None: `words`.
    rate: see `questions.of_array`.
    words: see `questions.of_words`.
    part: see `FileQuestions`.

  Raises:
    UserError: it is no question, or there are two.
  """
  if (query is None) == (not words):
    raise UserError(
      'There is no question, or there are two. Expected a file, an array, or '
      'words.'
    )
  if query is None:
    return questions.of_words(trained(), words)
  if not isinstance(query, (str, bytes, os.PathLike)):
    array = np.asarray(query)  # Perhaps of another library than NumPy.
    if rate is None and array.dtype != np.uint8:
      return questions.of_vector(array)
    return questions.of_array(trained(), array, rate)
  return FileQuestions(trained(), decoder)(query, part)


class FileQuestions:
  """Makes questions of files, which it decodes in a child process.

  Example:
    with Decoder() as decoder:
      question = FileQuestions(trained, decoder)('cooking.mp4@12-19.5')
  """

  def __init__(self, trained: TrainedModel, decoder: Decoder):
    """Takes the model, and what decodes."""
    self._trained, self._decoder = trained, decoder

  def __call__(
    self, source: str | os.PathLike | bytes, part: str = ''
  ) -> Question:
    """The question of a file.

    Args:
      source: path of a file with sound, of a picture or of a video, perhaps
        with a span in seconds, 'FILE@12-19.5'; '-': a recording from standard
        input, see `pauses`; or the content of a file with sound. A file is
        what its suffix says, as in an index; without a known one it is sound.
      part: of a video, 'sound' or 'picture'; '': its pictures, or its sound if
        it has none.

    Raises:
      UserError: it is missing, too large, silent, or cannot be read.
    """
    if part not in PARTS:
      raise ConfigError(f'The part is {part!r}. Expected one of {PARTS}.')
    is_recorded = source == STDIN
    if is_recorded:
      source = _read_stdin()
    if isinstance(source, bytes):
      if part == 'picture':
        raise UserError(
          "The part is 'picture', but the question is bytes or standard input, "
          'which are read as sound. Expected the path of a video or a picture.'
        )
      with _as_file(source) as path:
        return self._of_sound(path, 'sound', 0.0, None, is_recorded)
    path, start, end = split(os.fspath(source))
    kind = media_folder.kind(path)
    if kind == media_folder.PICTURE:
      return self._of_picture(path, part, end)
    if kind != media_folder.VIDEO and part == 'picture':
      raise UserError(
        f"The part is 'picture', but {path} has no suffix of a video or a "
        'picture. Expected a video or a picture. Choose another file or part.'
      )
    if kind == media_folder.VIDEO and part != 'sound':
      try:
        return self._of_video(path, os.fspath(source), start, end)
      except NoPictureError:
        if part:
          raise
    return self._of_sound(path, os.fspath(source), start, end)

  def _of_sound(
    self,
    path: str,
    name: str,
    start: float,
    end: float | None,
    is_recorded: bool = False,
  ) -> Question:
    last = np.inf if end is None else end
    waveform = self._decoder.run(
      path, lambda media: media.waveform(start, last)
    )
    audio.check_audible(waveform, name)
    if is_recorded:
      waveform = pauses.without_pauses(waveform)
    vector = trained_model.embed(self._trained, audio=waveform)['audio'][0]
    return Question(name, 'audio', vector)

  def _of_picture(self, path: str, part: str, end: float | None) -> Question:
    if part == 'sound' or end is not None:
      raise UserError(
        f'{path} is a picture: it has no sound and no seconds. Expected the '
        "name of the file alone, and the part 'picture' or ''."
      )
    pixels = self._decoder.run(path, lambda media: media.picture())
    vector = trained_model.embed(self._trained, image=pixels)['video'][0]
    return Question(path, 'video', vector)

  def _of_video(
    self, path: str, name: str, start: float, end: float | None
  ) -> Question:
    """As the index has a window: with the features of its last second."""
    extractor = self._trained.visual.extractor
    with reading.guard(path):
      arrays = self._decoder.run(
        path,
        lambda media: dict(
          extractor(
            pathlib.Path(path),
            start,
            None if end is None else end + 1,
            media.frames,
          )
        ),
      )
    if not all(map(len, arrays.values())):
      raise TooShortError(
        f'{name}: There are no pictures in it. Expected a second of video.'
      )
    seconds = len(arrays['visual_2d']) if end is None else end - start
    arrays['spectrogram'] = np.zeros((0, MEL_BINS), np.float16)
    embed = WindowVectors(self._trained, ('video',))
    vectors, _ = embed(arrays, np.array([[0.0, float(seconds)]]))
    return Question(name, 'video', vectors['video'][0])


def split(query: str) -> tuple[str, float, float | None]:
  """File, start and end (seconds) of 'FILE@12-19.5'; None: until its end.

  A file that has this name itself is taken as a whole.

  Raises:
    UserError: the span is none.
  """
  found = _SPAN.fullmatch(query)
  if not found or os.path.exists(query):
    return query, 0.0, None
  try:
    start, end = float(found['start']), float(found['end'])
  except ValueError:
    start = end = 0.0
  if not start < end:
    raise UserError(
      f'The question {query!r} names no span. Expected FILE@START-END in '
      'seconds, the end behind the start, such as cooking.mp4@12-19.5.'
    )
  return found['file'], start, end


def _read_stdin() -> bytes:
  """The content of standard input. Raises MediaError: empty or too large."""
  content = sys.stdin.buffer.read(MOST_BYTES + 1)
  if not content:
    raise EmptyMediaError(
      'Standard input has 0 bytes. Expected a sound file, such as of '
      '`arecord -f cd -d 5 | python main.py --mode=search ...`.'
    )
  if len(content) > MOST_BYTES:
    raise RefusedError(
      f'Standard input has more than {MOST_BYTES / 2**20:.0f} MiB. Expected a '
      'short recording. Name a file for a longer one.'
    )
  return content


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
  """The path of a temporary file with a content; errors do not name it."""
  with tempfile.NamedTemporaryFile(prefix='question.') as file:
    file.write(content)
    file.flush()
    try:
      yield file.name
    except MediaError as error:
      message = str(error).replace(file.name, 'The sound')
      raise type(error)(message) from error
