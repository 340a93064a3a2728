"""Number of ranks that half precision moves, on real data.

  python -m benchmarks.search_precision INDEX
  python -m benchmarks.search_precision RUN [DATA_DIR]

INDEX is an index in float32 with the vectors 'video' and 'audio'; of a RUN, the
clips of each of its evaluations are put into one. A copy in half precision is
made in a temporary folder. The sound of each window asks for its own picture
among those of all windows, and the other way round.
"""

import dataclasses
import pathlib
import sys
import tempfile
from collections.abc import Iterator

import numpy as np

from avl_jax import trained_model
from avl_jax.config import read_config
from avl_jax.retrieval import embedding, metrics
from avl_jax.search.store.index import Description, Index, IndexedFile


def of_run(
  workdir: pathlib.Path, data_dir: str, folder: pathlib.Path
) -> Iterator[Index]:
  """An index of each evaluation of a run, a file for each clip."""
  import input_pipeline

  config = read_config(str(workdir / 'config.json'))
  trained = trained_model.load(workdir)
  embed = embedding.make_embed_evaluation(trained.model)
  evaluations = input_pipeline.eval_batches(
    **config.eval_data, words=config.words, data_dir=data_dir or config.data_dir
  )
  for name, batches in evaluations.items():
    found = embed(trained.variables, batches, batches.num_examples)
    like = Description(
      *('', '', {}, 10.0, 10.0, ('video', 'audio')), trained.model.embed_dim
    )
    with Index.create(folder / name, like) as index:
      for i, clip in enumerate(found.ids.tolist()):
        file = IndexedFile(clip, clip, 0, 0, 10.0)
        vectors = {n: found.embeddings[n][i : i + 1] for n in like.names}
        index.add(
          file,
          np.array([[0.0, 10.0]]),
          vectors,
          dict.fromkeys(like.names, np.ones(1, bool)),
        )
    yield Index.open(folder / name)


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


def compare(whole: Index, folder: pathlib.Path) -> None:
  """Prints a line for each direction.

  Args:
    whole: an index in float32.
    folder: of the copy.
  """
  with halved(whole, folder) as half:
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
        f'{whole.folder.name}, {query} -> {gallery}, {len(before):,} windows: '
        f'{moved.sum():,} ranks move, by {np.abs(before - after).max()} at '
        f'most. R@10 is {recalls[0]:.2f} % in float32, {recalls[1]:.2f} % in '
        'half precision.'
      )


def main() -> None:
  """Compares an index, or those of a run's evaluations."""
  source = pathlib.Path(sys.argv[1])
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    if (source / 'config.json').is_file():
      data_dir = sys.argv[2] if len(sys.argv) > 2 else ''
      indexes = of_run(source, data_dir, folder)
    else:
      indexes = iter([Index.open(source)])
    for number, index in enumerate(indexes):
      compare(index, folder / f'half{number}')


if __name__ == '__main__':
  main()
