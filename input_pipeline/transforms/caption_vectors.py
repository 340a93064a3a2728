"""Word vectors of the captions of records.

Records hold the captions. A table beside them holds the vectors of their words,
made once for each source of word vectors: one vector a word instead of twenty
a caption, and no new records for other word vectors. A source of gigabytes is
scanned once, for the words of these captions. Name and contents of the table
say which source its vectors are from.
"""

import collections
import hashlib
import io
import json
import pathlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from avl_jax import logs
from avl_jax.features import word_vectors
from avl_jax.files import write_atomically
from input_pipeline.records import catalog
from input_pipeline.records.bad_records import BadRecordError, DataError
from input_pipeline.records.reader import Records


class VectorSource(Protocol):
  """A source of word vectors; see `word_vectors.open_vectors`."""

  name: str
  dim: int

  def look_up(self, words: Collection[str], /) -> dict[str, np.ndarray]:
    """Word -> float32 [E], of the words that the source has."""
    ...


class CaptionVectors:
  """Converts captions to word vectors.

  Attributes:
    dim: E, width of the vectors.
    fingerprint: a hash of the source of the word vectors and of `max_words`.
  """

  def __init__(
    self,
    datasets: Sequence[str],
    data_dir: str,
    *,
    vectors: str,
    max_words: int,
  ):
    """Opens the tables beside the records; makes the missing ones.

    Args:
      datasets: names of prepared data sets.
      data_dir: folder of the records; '': TFDS' default.
      vectors: source of the vectors, see `word_vectors.open_vectors`.
      max_words: W; further words of a caption are dropped.

    Raises:
      DataError: a data set is not prepared or has no captions, or the source
        has a vector for none of its words.
      WordsError: there is no such source.
    """
    source = word_vectors.open_vectors(vectors)
    self.dim, self._max_words = source.dim, max_words
    self._vectors = {}
    for name in datasets:
      self._vectors |= _table(name, data_dir, source)
    facts = f'{source.name} {max_words}'
    self.fingerprint = hashlib.sha256(facts.encode()).hexdigest()[:16]

  def __call__(self, caption: str) -> np.ndarray:
    """Returns float32 [W, E], zeros behind the last known word."""
    return word_vectors.caption_vectors(
      caption, self._vectors, self._max_words, self.dim
    )


def open_caption_vectors(
  datasets: Sequence[str], data_dir: str, words: Mapping
) -> CaptionVectors | None:
  """Opens the word vectors of data sets.

  Args:
    datasets: names of prepared data sets.
    data_dir: folder of the records; '': TFDS' default.
    words: keyword arguments of `CaptionVectors`.

  Returns:
    None if `words` has vectors=''.
  """
  if not words['vectors']:
    return None
  return CaptionVectors(datasets, data_dir, **words)


def data_fingerprint(
  records: Records, caption_vectors: CaptionVectors | None
) -> str:
  """Fingerprint of the data: of the records and, if used, the word vectors."""
  if not caption_vectors:
    return records.fingerprint
  facts = f'{records.fingerprint} {caption_vectors.fingerprint}'
  return records.mark + hashlib.sha256(facts.encode()).hexdigest()[:16]


def _table(
  name: str, data_dir: str, source: VectorSource
) -> dict[str, np.ndarray]:
  """Word -> vector of a data set, from its table, which is made if missing."""
  builder = catalog.load(name, data_dir)
  stem = 'words_' + re.sub(r'[^\w.-]+', '_', source.name)
  path = pathlib.Path(builder.data_dir, f'{stem}.npz')
  if not path.is_file():
    records = Records((name,), tuple(builder.info.splits), data_dir)
    return _make_table(name, records, source, path)
  with np.load(path) as table:
    return dict(zip(table['words'].tolist(), table['vectors'], strict=True))


def _captions(records: Records, bad: list[BadRecordError]) -> Iterator[str]:
  """Yields every caption, those of evaluation too; adds errors to `bad`."""
  for example in records.scan():
    if isinstance(example, BadRecordError):
      bad.append(example)
      continue
    texts = [*example.get('captions', ()), example.get('eval_caption', b'')]
    yield from (text.decode() for text in texts)


def _make_table(
  name: str,
  records: Records,
  source: VectorSource,
  path: pathlib.Path,
) -> dict[str, np.ndarray]:
  """Makes the table of a data set; writes it unless a record is bad.

  The table would lack the words of that record once it is repaired.
  """
  bad: list[BadRecordError] = []
  counts = word_vectors.count_words(_captions(records, bad))
  if not counts:
    raise DataError(
      f'{name!r} has no captions, which a model with text needs. Choose '
      "another data set, or set model.word_dim=0 and words.vectors=''."
    )
  found = source.look_up(counts)
  if not found:
    raise DataError(
      f'{source.name} has none of the {len(counts)} words of {name!r}, such as '
      f'{", ".join(list(counts)[:5])}. Choose word vectors of its language '
      '(words.vectors).'
    )
  if not bad:
    _write_table(name, source, path, counts, found)
  return dict(found)


def _write_table(
  name: str,
  source: VectorSource,
  path: pathlib.Path,
  counts: collections.Counter[str],
  found: Mapping[str, np.ndarray],
) -> None:
  """Writes the table, and a JSON list of the words without a vector."""
  unknown = {w: n for w, n in counts.most_common() if w not in found}
  lost = sum(unknown.values()) / counts.total()
  report = {'word_vectors': source.name, 'known': len(found)}
  listing = json.dumps(
    report | {'unknown': unknown}, indent=2, ensure_ascii=False
  )
  write_atomically(path.with_suffix('.json'), listing + '\n')
  buffer = io.BytesIO()
  np.savez(
    buffer, words=np.array([*found]), vectors=np.stack([*found.values()])
  )
  write_atomically(path, buffer.getvalue())
  logs.write(
    f'{name}: {source.name} has {len(found)} of {len(counts)} words. The '
    f'others, {lost:.1%} of the text, are listed in '
    f'{path.with_suffix(".json")}.'
  )
