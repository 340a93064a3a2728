"""How many ranks half precision moves, on an index of real files.

  python -m benchmarks.search_precision INDEX

INDEX is an index in float32 with the vectors 'video' and 'audio'. A copy in
half precision is made in a temporary folder. The sound of each window asks for
its own picture among those of all windows, and the other way round.
"""

import dataclasses
import pathlib
import sys
import tempfile

import numpy as np

from avl_jax.retrieval import metrics
from avl_jax.search.index import Index


def halved(index: Index, folder: pathlib.Path) -> Index:
  """A copy of an index in half precision, with the same rows."""
  like = dataclasses.replace(index.description, dtype='float16')
  half = Index.create(folder, like)
  for file in index.files():
    rows = index.rows_of(file.path)
    spans = [(w.start, w.end) for w in map(index.window, rows)]
    present = {n: np.isin(rows, index.rows_with(n)) for n in like.names}
    vectors = {}
    for name in like.names:
      vectors[name] = np.zeros((len(rows), like.dim), np.float32)
      held = index.vectors(name, rows[present[name]])
      vectors[name][present[name]] = held
    half.add(file, np.array(spans).reshape(-1, 2), vectors, present)
  return half


def clips(index: Index) -> dict[tuple[str, float], int]:
  """(path, start) -> row of the windows that have sound and pictures."""
  rows = np.intersect1d(index.rows_with('video'), index.rows_with('audio'))
  windows = {row: index.window(row) for row in rows.tolist()}
  return {(w.path, w.start): row for row, w in windows.items()}


def ranks(
  index: Index, asked: np.ndarray, gallery: str, own: list[int]
) -> np.ndarray:
  """0-based rank of each question's own window; ties count against it."""
  scores, rows = index.search(gallery, asked, len(index.rows_with(gallery)))
  score = scores[rows == np.array(own)[:, None]][:, None]
  return metrics.ranks((scores > score).sum(1), (scores == score).sum(1))


def main() -> None:
  """Prints a line for each direction."""
  with (
    tempfile.TemporaryDirectory() as folder,
    Index.open(sys.argv[1]) as whole,
    halved(whole, pathlib.Path(folder) / 'half') as half,
  ):
    rows, half_rows = clips(whole), clips(half)
    places = [half_rows[clip] for clip in rows]
    for query, gallery in (('audio', 'video'), ('video', 'audio')):
      # A question is in float32 in both.
      asked = whole.vectors(query, list(rows.values()))
      before = ranks(whole, asked, gallery, [*rows.values()])
      after = ranks(half, asked, gallery, places)
      moved, recalls = (
        before != after,
        [100 * (found < 10).mean() for found in (before, after)],
      )
      print(
        f'{query} -> {gallery}, {len(before):,} windows: {moved.sum():,} ranks '
        f'move, by {np.abs(before - after).max()} at most. R@10 is '
        f'{recalls[0]:.2f} % in float32, {recalls[1]:.2f} % in half precision.'
      )


if __name__ == '__main__':
  main()
