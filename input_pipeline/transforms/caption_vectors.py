"""Word vectors of the captions of records.

Records keep the captions themselves, and a small table of the vectors of their
words lies beside them: a vector a word instead of twenty a caption, no new
records for other word vectors, and a file of gigabytes is scanned once, for
the words of these captions. The table's name and contents say which word
vectors it is of.
"""

import hashlib
import io
import json
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np
from tensorflow_datasets.core import read_only_builder

from avl_jax.features import word_vectors
from avl_jax.files import write_atomically
from input_pipeline.records.bad_records import BadRecordError, DataError
from input_pipeline.records.catalog import data_folder
from input_pipeline.records.reader import Records


class Captions:
  """Captions as word vectors.

  Attributes:
    dim: E, width of the vectors.
    fingerprint: changes with the word vectors and with `max_words`.
  """

  def __init__(
    self,
    datasets: Sequence[str],
    data_dir: str,
    *,
    vectors: str,
    max_words: int,
  ):
    """Opens the tables beside the records, making those that are missing.

    Args:
      datasets: names of prepared data sets.
      data_dir: where the records are; '': TFDS' default.
      vectors: see `words.open_vectors`.
      max_words: W; later words of a caption are left out.

    Raises:
      DataError: the records are missing or have no captions, or the vectors
        know no word of theirs.
      WordsError: there are no such vectors.
    """
    source = word_vectors.open_vectors(vectors)
    self.dim, self._max_words = source.dim, max_words
    self._vectors = {}
    for name in datasets:
      self._vectors |= _table(name, data_dir, source)
    facts = f'{source.name} {max_words}'
    self.fingerprint = hashlib.sha256(facts.encode()).hexdigest()[:16]

  def __call__(self, caption: str) -> np.ndarray:
    """float32 [W, E], zeros behind the last known word."""
    return word_vectors.caption_vectors(
      caption, self._vectors, self._max_words, self.dim
    )


def _table(name: str, data_dir: str, source) -> dict[str, np.ndarray]:
  """Word -> vector of a data set, from its table, made if missing."""
  builder = read_only_builder.builder_from_files(
    name, data_dir=data_folder(data_dir)
  )
  stem = 'words_' + re.sub(r'[^\w.-]+', '_', source.name)
  path = pathlib.Path(builder.data_dir, f'{stem}.npz')
  if not path.is_file():
    splits = tuple(builder.info.splits)
    return _make_table(name, data_dir, splits, source, path)
  with np.load(path) as table:
    return dict(zip(table['words'].tolist(), table['vectors'], strict=True))


def _captions(records: Records, bad: list) -> Iterator[str]:
  """Every caption there is, those of evaluation too; adds errors to `bad`."""
  for example in records.scan():
    if isinstance(example, BadRecordError):
      bad.append(example)
      continue
    texts = [*example.get('captions', ()), example.get('eval_caption', b'')]
    yield from (text.decode() for text in texts)


def _make_table(name, data_dir, splits, source, path) -> dict[str, np.ndarray]:
  """The table, written with a JSON list of the words without a vector.

  Nothing is written while a record is bad, whose words would be missing once
  the record is repaired.
  """
  bad: list[BadRecordError] = []
  records = Records((name,), splits, data_dir)
  counts = word_vectors.count_words(_captions(records, bad))
  if not counts:
    raise DataError(
      f'{name!r} has no captions, which a model with text needs: take another '
      "data set, or model.word_dim=0 and words.vectors=''"
    )
  found = source.look_up(counts)
  if not found:
    raise DataError(
      f'{source.name} has none of the {len(counts)} words of {name!r}, such as '
      f'{", ".join(list(counts)[:5])}: take word vectors of its language'
    )
  if not bad:
    _write_table(name, source, path, counts, found)
  return dict(found)


def _write_table(name, source, path, counts, found) -> None:
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
  print(
    f'{name}: {source.name} has {len(found)} of {len(counts)} words; the '
    f'others, {lost:.1%} of the text, are in {path.with_suffix(".json")}'
  )
