"""Share of questions about other things that get "Nothing fits"; its cost.

  python -m benchmarks.nothing_fits runs/stamps

The run is one of configs/stamps.py, with its records. Its pictures are
indexed, a window each, in indexes of several sizes. Recordings of 100 things
that are not in the index are asked, and up to 100 of things that are. The
background questions are the run's validation recordings, some of which ask for
what is in the index.
"""

import argparse
import pathlib
import tempfile

import numpy as np

import avl_jax
import input_pipeline
from avl_jax.config import read_config
from avl_jax.search.query import confidence, searcher
from avl_jax.search.store.index import Description, Index, IndexedFile

SIZES = (12, 50, 200)  # windows
ASKED, REPEATS = 100, 10


def embedded(workdir: str, data_dir: str) -> dict[str, dict[str, np.ndarray]]:
  """Evaluation -> 'audio' and 'video' [N, D], 'subset' [N]."""
  trained = avl_jax.load(workdir)
  config = read_config(str(pathlib.Path(workdir) / 'config.json'))
  found = {}
  for name, batches in input_pipeline.eval_batches(
    **config.eval_data, data_dir=data_dir or config.data_dir
  ).items():
    parts = [
      {
        'subset': batch['subset'],
        **vectors_of(trained, batch),
      }
      for batch in batches
    ]
    found[name] = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
  return found


def vectors_of(trained, batch) -> dict[str, np.ndarray]:
  """'audio' and 'video' of a batch."""
  keys = ('spectrogram', 'num_frames', 'visual')
  return dict(trained.embed_batch({key: batch[key] for key in keys}))


def indexed(folder: pathlib.Path, vectors: np.ndarray) -> Index:
  """An index with a picture for each vector [n, D]."""
  like = Description('', '', {}, 10.0, 5.0, ('video',), vectors.shape[1])
  there = {'video': np.ones(1, bool)}
  with Index.create(folder, like) as index:
    for i, vector in enumerate(vectors):
      file = IndexedFile(f'{i:03}.png', str(i), 1, 1, 0.0)
      index.add(file, np.zeros((1, 2)), {'video': vector[None]}, there)
  return Index.open(folder)


def measured(
  index: Index, questions: np.ndarray, background: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Best row of each question, and its chance; see `Answer.chance`."""
  chance = confidence.of_recordings(background).by_chance(index, 'video')
  scores, rows = index.search('video', questions, 1)
  return rows[:, 0], (chance >= scores).mean(1)


def main() -> None:
  """Prints a table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('workdir')
  parser.add_argument('--data_dir', default='')
  options = parser.parse_args()
  found = embedded(options.workdir, options.data_dir)
  background = next(x for n, x in found.items() if n.startswith('narrated'))
  background = background['audio'][background['subset'] == 'validation']
  things = next(x for n, x in found.items() if n.startswith('human'))
  print(
    f'Threshold {searcher.THRESHOLD}; {len(background)} background questions.'
  )
  print('windows  nothing fits, of 100 absent  right  of these lost')
  for size in SIZES:
    lost, absent, right = [], [], []
    for seed in range(REPEATS):
      order = np.random.default_rng(seed).permutation(len(things['audio']))
      inside, others = order[:size], order[size : size + ASKED]
      with tempfile.TemporaryDirectory() as folder:
        index = indexed(pathlib.Path(folder) / 'i', things['video'][inside])
        asked = np.concatenate([inside[:ASKED], others])
        rows, chances = measured(index, things['audio'][asked], background)
      fits = chances <= searcher.THRESHOLD
      n = len(asked) - ASKED
      is_right = rows[:n] == np.arange(n)
      right.append(is_right.mean())
      lost.append((is_right & ~fits[:n]).sum() / max(is_right.sum(), 1))
      absent.append((~fits[n:]).mean())
    print(
      f'{size:7}  {100 * np.mean(absent):27.0f}  {np.mean(right):5.0%}  '
      f'{np.mean(lost):13.0%}'
    )


if __name__ == '__main__':
  main()
