"""What a run writes down while it trains: a line of JSON a row."""

import json
import pathlib
from collections.abc import Mapping

from avl_jax.files import write_atomically


def read_history(path: pathlib.Path) -> list[dict]:
  """The rows of a `History`'s file; none if it is not there."""
  lines = path.read_text().splitlines() if path.exists() else []
  # A run that was killed may have left half a line.
  return [json.loads(line) for line in lines if line.endswith('}')]


class History:
  """Scalars as lines of JSON; `write_scalars` and so on as clu's writers.

  Attributes:
    rows: [{'step': int, name: float, ...}], what was written, also before.
  """

  def __init__(self, path: pathlib.Path, first_step: int):
    """Opens the file, dropping rows after `first_step`: they come again."""
    self.rows = [row for row in read_history(path) if row['step'] <= first_step]
    lines = ''.join(json.dumps(row) + '\n' for row in self.rows)
    write_atomically(path, lines)
    self._file = path.open('a')

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    """Appends a row."""
    row = {'step': step, **{k: float(v) for k, v in scalars.items()}}
    self.rows.append(row)
    self._file.write(json.dumps(row) + '\n')
    self._file.flush()

  def flush(self) -> None:
    """Does nothing: each row is written at once."""

  def close(self) -> None:
    """Closes the file."""
    self._file.close()
