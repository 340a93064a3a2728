"""Changes of an index whose effect anyone can verify.

The content of a made-up file is the seed of its vectors, so that a reader can
tell from the index alone whether a file is whole.

  python -m tests.helpers.search.changes FOLDER SEED  # changes it for ever
"""

import pathlib
import sys
from collections.abc import Callable

import numpy as np

from avl_jax.search.store import shards
from avl_jax.search.store.index import Index
from avl_jax.search.store.snapshot import Snapshot
from tests.helpers.search import made_up


def put(index: Index, path: str, n: int, seed: int) -> None:
  """Adds a file; its last windows have no sound."""
  audio = np.arange(n) < n - seed % 2
  index.add(
    made_up.file(path, str(seed)),
    made_up.windows(n),
    made_up.vectors(n, seed),
    {'video': np.ones(n, bool), 'audio': audio},
  )


STEPS: tuple[Callable[[Index], None], ...] = (
  lambda index: put(index, 'a.mp4', 3, 1),
  lambda index: put(index, 'b.mp4', 2, 2),
  lambda index: put(index, 'a.mp4', 4, 3),
  lambda index: index.move('2', 'c/d.mp4'),
  lambda index: put(index, 'e.wav', 1, 4),
  lambda index: index.drop('c/d.mp4'),
  lambda index: index.compact(),
  lambda index: put(index, 'empty.mp4', 0, 6),
  lambda index: put(index, 'f.mp4', 5, 5),
)


def state(index: Snapshot) -> dict[str, tuple[str, int]]:
  """Path -> content and number of windows; every file is verified."""
  assert index.check() == []
  found = {}
  for file in index.files():
    rows = index.rows_of(file.path)
    made = made_up.vectors(len(rows), int(file.content))
    for name in ('video', 'audio'):
      chosen = np.isin(rows, index.rows_with(name))
      assert np.array_equal(
        index.vectors(name, rows[chosen]), made[name][chosen]
      ), file
      if chosen.any():
        query = made[name][chosen][-1:]
        scores, best = index.search(name, query, 1, among={file.path})
        assert best[0, 0] in rows
        assert scores[0, 0] >= np.float32(0.99) * (query @ query.T)[0, 0]
    ends = [index.window(row).end for row in rows]
    assert ends == made_up.windows(len(rows))[:, 1].tolist()
    found[file.path] = (file.content, len(rows))
  return found


def change_for_ever(folder: pathlib.Path, seed: int) -> None:
  """Random changes; prints the number of each when it is done."""
  rng = np.random.default_rng(seed)
  shards.LIMIT = 20_000
  with Index.open(folder, write=True) as index:
    for number in range(10**9):
      contents = {file.path: file.content for file in index.files()}
      paths = sorted(contents)
      kind = rng.choice(['put', 'put', 'move', 'drop', 'compact'])
      if kind == 'put' or len(paths) < 3:
        path = f'{rng.integers(12)}.mp4'
        put(index, path, int(rng.integers(60)), int(rng.integers(10**6)))
      elif kind == 'move':
        old = str(rng.choice(paths))
        index.move(contents[old], f'{rng.integers(12)}.mp4', old=old)
      elif kind == 'drop':
        index.drop(str(rng.choice(paths)))
      else:
        index.compact()
      print(number, flush=True)


if __name__ == '__main__':
  change_for_ever(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
