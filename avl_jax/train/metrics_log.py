"""Metrics log (metrics.jsonl): one row per line, as JSON."""

import json
import os
import pathlib
from collections.abc import Mapping

from avl_jax.files import write_atomically, writing


def read_history(path: pathlib.Path) -> list[dict]:
  """Reads the rows of a metrics log; [] if there is no such file."""
  lines = path.read_text().splitlines() if path.exists() else []
  # A killed run may have left an incomplete last line.
  return [json.loads(line) for line in lines if line.endswith('}')]


class History:
  """Writes the metrics log; has the methods of clu's metric writers.

  Attributes:
    rows: [{'step': int, name: float, ...}], all rows of the file.
  """

  def __init__(self, path: pathlib.Path, last_step: int):
    """Opens the log for a run that resumes after `last_step`.

    Args:
      path: of the file.
      last_step: later rows are dropped, because the resumed run writes them
        again.
    """
    self.rows = [row for row in read_history(path) if row['step'] <= last_step]
    lines = ''.join(json.dumps(row) + '\n' for row in self.rows)
    write_atomically(path, lines)
    self._file = path.open('ab', buffering=0)

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    """Appends a row; raises UserError if the disk is full."""
    self._write({'step': step, **{k: float(v) for k, v in scalars.items()}})

  def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
    """Appends a row; raises UserError if the disk is full."""
    self._write({'step': step, **texts})

  def _write(self, row: dict) -> None:
    self.rows.append(row)
    line = f'{json.dumps(row)}\n'.encode()
    with writing(self._file.name):
      while line:  # A disk that fills up takes a part of it before it fails.
        line = line[self._file.write(line) :]

  def flush(self) -> None:
    """Waits until all rows are on the disk."""
    os.fsync(self._file.fileno())

  def close(self) -> None:
    """Closes the file."""
    self._file.close()
