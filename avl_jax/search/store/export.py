"""Vectors of an index for other programs: NumPy, JSON lines, FAISS."""

import json
import os
import pathlib

import numpy as np

from avl_jax import files
from avl_jax.errors import ConfigError, UserError
from avl_jax.search.store.snapshot import Snapshot

ROWS = 4096  # Copied at a time.


def write(
  index: Snapshot, name: str, folder: str | os.PathLike
) -> tuple[pathlib.Path, pathlib.Path]:
  """Writes `vectors.npy` and `ids.jsonl`; line i describes vector i.

  A line is {"row", "path", "start", "end"}: the row in the index, the file
  below the media folder, and seconds. README.md shows how to load them.

  Args:
    index: an open index.
    name: which vectors; windows that lack them are left out.
    folder: of the two files; created if it is missing.

  Returns:
    Paths of `vectors.npy`, [n, D] in the type of the index, and `ids.jsonl`.

  Raises:
    ConfigError: the index has no such vectors.
    UserError: the files cannot be written.
  """
  rows = _rows(index, name)
  folder = pathlib.Path(folder)
  vectors, ids = folder / 'vectors.npy', folder / 'ids.jsonl'
  parts = [path.with_name(f'{path.name}.tmp') for path in (vectors, ids)]
  shape = (len(rows), index.description.dim)
  header = {
    'descr': np.lib.format.dtype_to_descr(np.dtype(index.description.dtype)),
    'fortran_order': False,
    'shape': shape,
  }
  with files.writing(vectors):
    folder.mkdir(parents=True, exist_ok=True)
    with parts[0].open('wb') as file:
      np.lib.format.write_array_header_1_0(file, header)
      for start in range(0, len(rows), ROWS):
        file.write(index.stored(name, rows[start : start + ROWS]).data)
  with files.writing(ids):
    with parts[1].open('w', encoding='utf-8') as file:
      for row in rows.tolist():
        file.write(_line(index, row))
    os.replace(parts[0], vectors)
    os.replace(parts[1], ids)
  return vectors, ids


def write_faiss(
  index: Snapshot, name: str, path: str | os.PathLike
) -> pathlib.Path:
  """Writes an exact FAISS index of dot products.

  Its ids are the rows of this index. float32 vectors become an `IndexFlatIP`,
  float16 ones an `IndexScalarQuantizer` of the same numbers.

  Args:
    index: an open index.
    name: which vectors; windows that lack them are left out.
    path: of the file.

  Returns:
    The path.

  Raises:
    ConfigError: the index has no such vectors.
    UserError: FAISS is not installed, or the file cannot be written.
  """
  try:
    import faiss  # pyrefly: ignore[missing-import]: an extra
  except ImportError as error:
    raise UserError(
      "A FAISS index needs the package faiss-cpu. Run `pip install 'faiss-cpu"
      "==1.15.1'`, or export vectors.npy."
    ) from error
  rows = _rows(index, name)
  like, path = index.description, pathlib.Path(path)
  if like.dtype == 'float32':
    flat = faiss.IndexFlatIP(like.dim)
  else:
    half = faiss.ScalarQuantizer.QT_fp16
    flat = faiss.IndexScalarQuantizer(
      like.dim, half, faiss.METRIC_INNER_PRODUCT
    )
    flat.is_trained = True  # There is nothing to learn.
  exported = faiss.IndexIDMap(flat)
  for start in range(0, len(rows), ROWS):
    chosen = rows[start : start + ROWS]
    stored = index.stored(name, chosen)
    exported.add_with_ids(stored.astype(np.float32), chosen)
  temporary = path.with_name(f'{path.name}.tmp')
  with files.writing(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
      faiss.write_index(exported, str(temporary))
    except RuntimeError as error:  # FAISS' own message names its source code.
      raise OSError(0, 'FAISS cannot write it') from error
    os.replace(temporary, path)
  return path


def _rows(index: Snapshot, name: str) -> np.ndarray:
  if name not in index.description.names:
    raise ConfigError(
      f'The index {index.folder} has no vectors {name!r}, but '
      f'{", ".join(index.description.names)}. Choose one of these.'
    )
  return index.rows_with(name)


def _line(index: Snapshot, row: int) -> str:
  window = index.window(row)
  line = {
    'row': row,
    'path': window.path,
    'start': window.start,
    'end': window.end,
  }
  return json.dumps(line) + '\n'
