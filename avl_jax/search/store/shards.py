"""Append-only files of vectors, memory-mapped: float32 or float16 rows of D.

A shard is one file for each name of vectors: `video.000000012000.float16` holds
the rows from 12,000. A row has the same place in the files of all names; where
a window has no vector of a name, the file has zeros, and a hole if the whole
media file has none. What lies behind the committed rows does not count.
"""

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Collection, Container, Mapping

import numpy as np

from avl_jax import files
from avl_jax.checkpoints import manifest
from avl_jax.errors import ConfigError, UserError
from avl_jax.search.store import entries
from avl_jax.search.store.journal import DamageError

# Bytes of a name's vectors after which a new shard begins: 65,536 rows of 4096
# in float32. Compaction rewrites at most half of that at a time.
LIMIT = 1 << 30
# Scores of vectors shorter than this are finite in float32.
LONGEST = 2.0**63


def path_of(
  folder: pathlib.Path, name: str, shard: int, dtype: str
) -> pathlib.Path:
  """The file of a name's vectors from row `shard` on."""
  return folder / f'{name}.{shard:012d}.{dtype}'


def stored(
  vectors: np.ndarray,
  present: np.ndarray,
  shape: tuple[int, int],
  dtype: str,
  what: str,
) -> np.ndarray | None:
  """Vectors in the type of an index; zeros where there is none.

  Args:
    vectors: float32 [n, D].
    present: bool [n], whether a row is a vector.
    shape: the expected one, (n, D).
    dtype: 'float32' or 'float16'.
    what: name and file of the vectors, for messages.

  Returns:
    [n, D]; None if no row is a vector.

  Raises:
    ConfigError: the shape is another one.
    UserError: a number is not finite, or a vector cannot be held in this type:
      too long for scores (float32), or infinite or more than one percent off
      in half precision.
  """
  if vectors.shape != shape or present.shape != shape[:1]:
    raise ConfigError(
      f'The vectors {what} have the shape {vectors.shape}, with '
      f'{present.shape} marks. The index expects {shape}. Embed the file with '
      'the model of the index.'
    )
  if not present.any():
    return None
  vectors = np.where(present[:, None], vectors, 0).astype(np.float32)
  if not np.isfinite(vectors).all():
    raise UserError(
      f'A vector {what} is not finite, so it was not indexed. Expected finite '
      'values. Check the file, then the checkpoint of the run.'
    )
  lengths = norms(vectors)
  if lengths.max(initial=0) >= LONGEST:
    raise UserError(
      f'A vector {what} has the length {lengths.max():.3g}. Scores of it '
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
      f'Half precision cannot hold a vector {what}: its largest number is '
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


def read_digest(path: pathlib.Path, start: int, size: int) -> str:
  """SHA-256 of a part of a file, in bytes; '' if it cannot be read."""
  found = hashlib.sha256()
  try:
    with path.open('rb') as file:
      file.seek(start)
      while size:
        part = file.read(min(size, 1 << 22))
        if not part:
          return ''
        found.update(part)
        size -= len(part)
  except OSError:
    return ''
  return found.hexdigest()


def append(
  paths: Mapping[pathlib.Path, np.ndarray | None], start: int, end: int
) -> None:
  """Writes rows to files and waits until they are on the disk.

  Args:
    paths: of the files, which are created if they are missing -> rows [n, D];
      None leaves a hole.
    start: byte at which the rows start; what lies behind it is lost.
    end: size of the files afterwards, in bytes.

  Raises:
    UserError: the disk is full or broken.
  """
  for path, rows in paths.items():
    with files.writing(path), path.open('ab') as file:
      file.truncate(start)
      if rows is not None:
        file.write(rows.data)
        file.flush()
      file.truncate(end)
      os.fsync(file.fileno())
    if not start:  # The file is new.
      with files.writing(path):
        manifest.sync(path.parent)


def cut(paths: Collection[pathlib.Path], size: int) -> None:
  """Gives back the space of what was not committed, as far as possible."""
  for path in paths:
    with contextlib.suppress(OSError):
      os.truncate(path, size)


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
  for path, shard in entries.shards(folder).items():
    if shard not in kept:
      path.unlink(missing_ok=True)
