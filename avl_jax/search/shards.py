"""Append-only files of vectors, memory-mapped: float32 or float16 rows of D.

A shard is one file for each name of vectors: `video.000000012000.float16` holds
the rows from 12,000. A row has the same place in the files of all names; where
a window has no vector of a name, the file has zeros, and a hole if the whole
media file has none. What lies behind the committed rows does not count.
"""

import hashlib
import os
import pathlib
from collections.abc import Container

import numpy as np

from avl_jax import files
from avl_jax.checkpoints import manifest
from avl_jax.errors import UserError
from avl_jax.search.journal import DamageError

# Bytes of a name's vectors after which a new shard begins: 16,384 rows of 4096
# in float32. Compaction rewrites at most half of that at a time.
LIMIT = 1 << 28
# Scores of vectors shorter than this are finite in float32.
LONGEST = 2.0**63


def path_of(
  folder: pathlib.Path, name: str, shard: int, dtype: str
) -> pathlib.Path:
  """The file of a name's vectors from row `shard` on."""
  return folder / f'{name}.{shard:012d}.{dtype}'


def stored(vectors: np.ndarray, dtype: str, where: str) -> np.ndarray:
  """Vectors in the type of an index.

  Args:
    vectors: float32 [n, D].
    dtype: 'float32' or 'float16'.
    where: what they are of, for messages.

  Raises:
    UserError: a number is not finite, or a vector cannot be held in this type:
      too large for scores (float32), or infinite or more than one percent off
      in half precision.
  """
  vectors = np.ascontiguousarray(vectors, np.float32)
  if not np.isfinite(vectors).all():
    raise UserError(
      f'A vector of {where} is not finite. The model or the file is broken; '
      'the index does not hold it.'
    )
  lengths = norms(vectors)
  if lengths.max(initial=0) >= LONGEST:
    raise UserError(
      f'A vector of {where} has the length {lengths.max():.3g}. Scores of it '
      'would not be finite in float32. Shorten the vectors.'
    )
  if dtype == 'float32':
    return vectors
  with np.errstate(over='ignore', under='ignore'):
    half = vectors.astype(np.float16)
  with np.errstate(invalid='ignore'):
    lost = norms(half.astype(np.float32) - vectors)
  bad = ~(lost <= 0.01 * lengths)
  if bad.any():
    worst = np.abs(vectors[bad]).max()
    raise UserError(
      f'Half precision cannot hold a vector of {where}: its largest number is '
      f'{worst:.3g}. Numbers from 1e-5 to 65504 can be held. Make the index '
      'in float32, or with a model that gives vectors of length 1.'
    )
  return half


def norms(vectors: np.ndarray) -> np.ndarray:
  """float64 [n], the lengths of [n, D]."""
  return np.sqrt(
    np.einsum('nd,nd->n', vectors, vectors, dtype=np.float64, casting='unsafe')
  )


def digest(rows: np.ndarray) -> str:
  """SHA-256 of the bytes of rows [n, D]."""
  return hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()


def append(
  path: pathlib.Path, start: int, rows: np.ndarray | None, size: int
) -> None:
  """Writes rows and waits until they are on the disk.

  Args:
    path: of the file, which is created if it is missing.
    start: byte at which the rows start; what lies behind it is lost.
    rows: [n, D]; None: leaves a hole.
    size: of the file afterwards, in bytes.

  Raises:
    UserError: the disk is full or broken.
  """
  with files.writing(path):
    is_new = not path.exists()
    with path.open('ab') as file:
      file.truncate(start)
      if rows is not None:
        file.write(rows.data)
      file.flush()
      file.truncate(size)
      os.fsync(file.fileno())
    if is_new:
      manifest.sync(path.parent)


def map_rows(path: pathlib.Path, count: int, dim: int) -> np.ndarray:
  """Maps the first rows of a file, [count, dim], read-only.

  Raises:
    DamageError: the file is missing or too short.
  """
  dtype = np.dtype(path.suffix[1:])
  expected = count * dim * dtype.itemsize
  try:
    size = path.stat().st_size
    if size < expected:
      raise DamageError(path, f'has {size} bytes of {expected}')
    if not count:
      return np.empty((0, dim), dtype)
    mapped = np.memmap(path, dtype, 'r', shape=(count, dim))
  except OSError as error:
    what = f'is missing or cannot be read ({error.strerror})'
    raise DamageError(path, what) from error
  return np.asarray(mapped)


def remove_all_but(folder: pathlib.Path, kept: Container[int]) -> None:
  """Deletes the shards that no committed row lies in.

  Readers that have them open keep them until they close.

  Args:
    folder: of the index.
    kept: first rows of the shards that stay.
  """
  for path in folder.glob('*.[0-9]*.float*'):
    if int(path.suffixes[-2][1:]) not in kept:
      path.unlink(missing_ok=True)
