"""Scans word vectors in word2vec's binary and text format.

Words may contain blanks, as 'at name@domain.com' does in GloVe 840B. In text,
the last numbers of a line are the vector. In the binary format, a blank ends
the word if numbers follow it that a vector can have.
"""

import collections
import io
import re
import struct
from collections.abc import Iterator, Mapping

import numpy as np

_LONGEST = 1 << 12  # bytes of a word; a longer one is not word2vec's
_PROBED = 8  # values of a vector that are looked at in every word
_USUAL = 1e-6, 100  # sizes of nearly all values of vectors
_POSSIBLE = 1e-15, 1e6  # sizes of all values that are not 0
_BOM = b'\xef\xbb\xbf'


class FormatError(ValueError):
  """A file of word vectors that is malformed; the message says how."""


def header(line: bytes) -> tuple[int, int] | None:
  """(words, width) if the first line of a file has these two numbers."""
  found = re.fullmatch(rb'(\d{1,9})[ \t](\d{1,5})\s*', without_bom(line))
  return (int(found[1]), int(found[2])) if found else None


def without_bom(line: bytes) -> bytes:
  """The first line of a file without the mark of UTF-8."""
  return line.removeprefix(_BOM)


def text_width(lines: list[bytes], width: int) -> int:
  """Number of values per word in lines of the text format, or 0.

  Args:
    lines: the first lines of words.
    width: of the header; 0: there is none.
  """
  counts: collections.Counter[int] = collections.Counter()
  for line in lines:
    fields = without_bom(line).split()
    values = 0
    for field in reversed(fields[1:]):
      if values == width > 0 or not _is_number(field):
        break
      values += 1
    counts[values] += 1
  return counts.most_common(1)[0][0] if counts else 0


def scan_text(
  file: io.BufferedIOBase, dim: int, wanted: Mapping[bytes, str]
) -> Iterator[tuple[bytes, np.ndarray | None]]:
  """Yields (word, float32 [dim]) of the wanted words; (word, None) of others.

  Raises:
    FormatError: a wanted word has too few numbers.
  """
  for number, line in enumerate(file):
    row = without_bom(line) if not number else line
    name = row.partition(b' ')[0].partition(b'\t')[0]
    if name not in wanted:
      yield name, None
      continue
    fields = row[len(name) :].split()
    if len(fields) > dim and all(map(_is_number, fields[-dim:])):
      yield name, None  # The word goes on after a blank.
      continue
    try:
      vector = np.array(fields, np.float32)
    except ValueError:
      vector = np.zeros(0)
    if vector.shape != (dim,):
      raise FormatError(f'{wanted[name]!r} does not have {dim} numbers')
    yield name, vector


def scan_binary(
  file: io.BufferedIOBase,
  count: int,
  dim: int,
  wanted: Mapping[bytes, str],
  block_size: int,
) -> Iterator[tuple[bytes, np.ndarray]]:
  """Yields (word, float32 [dim]) of the wanted words.

  Raises:
    FormatError: the file ends early.
  """
  block, start, size = b'', 0, 4 * dim
  needed = _LONGEST + 1 + size
  probe = struct.Struct(f'<{min(_PROBED, dim)}f')
  for index in range(count):
    if len(block) - start < needed:
      block = block[start:] + file.read(max(block_size, needed))
      start = 0
    space = block.find(b' ', start, start + _LONGEST)
    if space < 0 or space + 1 + size > len(block):
      raise FormatError(f'It ends at word {index} of {count}')
    values = [*map(abs, probe.unpack_from(block, space + 1))]
    if not (_USUAL[0] < min(values) and max(values) < _USUAL[1]):
      space = _end_of_word(block, start, space, dim)
    name = block[start:space].lstrip(b'\n')
    if name in wanted:
      yield name, np.frombuffer(block, '<f4', dim, space + 1).copy()
    start = space + 1 + size


def _end_of_word(block: bytes, start: int, first: int, dim: int) -> int:
  """Place of the first blank before possible values; else the first blank."""
  space = first
  while space >= 0 and space + 1 + 4 * dim <= len(block):
    try:
      block[start:space].decode()
    except UnicodeDecodeError:
      break  # These are no longer words.
    values = np.abs(np.frombuffer(block, '<f4', dim, space + 1))
    possible = (values > _POSSIBLE[0]) & (values < _POSSIBLE[1])
    if (possible | (values == 0)).all():
      return space
    space = block.find(b' ', space + 1, start + _LONGEST)
  return first


def _is_number(field: bytes) -> bool:
  try:
    float(field)
  except ValueError:
    return False
  return True
