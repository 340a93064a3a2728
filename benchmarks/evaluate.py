"""Time and memory of embedding and ranking a large evaluation.

  python -m benchmarks.evaluate
  python -m benchmarks.evaluate --pairs 5000 --clips 0

Ranks all videos for every audio, and all audio for every video, with
`ranking.rank_both_ways`, tile by tile, and with numpy on the whole matrix of
scores (by counting, and by sorting as the release does). Each method runs in
its own process, so that its peak memory can be measured. Embedding is measured
on `--clips` clips of 10 s; its time is proportional to their number.
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable

import numpy as np


def embeddings(pairs: int, width: int) -> tuple[np.ndarray, np.ndarray]:
  """Two float32 [pairs, width] arrays whose matching rows are similar.

  The similarity is such that the correct match is in the top 10 of 50,000 for
  about half of the queries.
  """
  rng = np.random.default_rng(0)
  audio = rng.standard_normal((pairs, width), np.float32)
  noise = rng.standard_normal((pairs, width), np.float32)
  return audio, np.float32(0.06) * audio + noise


def by_tiles(audio: np.ndarray, video: np.ndarray) -> list[np.ndarray]:
  """0-based ranks in both directions, computed by this library."""
  from avl_jax import compilation
  from avl_jax.retrieval import metrics, ranking

  compilation.avoid_triton()
  return [
    metrics.ranks(found.better, found.equal)
    for found in ranking.rank_both_ways(audio, video)
  ]


def by_counting(audio: np.ndarray, video: np.ndarray) -> list[np.ndarray]:
  """Whole matrix in numpy; counts items at least as good as the match."""
  scores = audio @ video.T
  own = scores.diagonal()
  return [
    np.count_nonzero(scores >= own[:, None], axis=1) - 1,
    np.count_nonzero(scores >= own, axis=0) - 1,
  ]


def by_sorting(audio: np.ndarray, video: np.ndarray) -> list[np.ndarray]:
  """Whole matrix in numpy; sorts row by row to save memory."""
  scores = audio @ video.T
  return [
    np.array(
      [np.flatnonzero(np.argsort(-row) == i)[0] for i, row in enumerate(matrix)]
    )
    for matrix in (scores, scores.T)
  ]


def embed(clips: int, batch_size: int, dtype: str) -> tuple[float, float]:
  """Wall and processor seconds of embedding, compilation not included."""
  from avl_jax import compilation
  from avl_jax.models import avlnet
  from avl_jax.retrieval import embedding
  from benchmarks import full_size

  compilation.avoid_triton()
  net = avlnet.AVLnet(dtype=dtype)
  variables = avlnet.init_variables(net, full_size.VISUAL)
  run = embedding.make_embed_evaluation(net)

  def batches(count: int, start: int = 0):
    for first in range(start, start + count, batch_size):
      names = np.arange(first, first + batch_size).astype(str)
      batch = full_size.make_batch(batch_size)
      yield {**batch, 'id': names, 'subset': names}

  run(variables, batches(batch_size))
  start, begun = time.perf_counter(), time.process_time()
  embedded = run(variables, batches(clips))
  if len(embedded.ids) != clips:
    raise ValueError(
      f'Only {len(embedded.ids)} of {clips} clips were embedded.'
    )
  return time.perf_counter() - start, time.process_time() - begun


def _work(connection, function: Callable, sizes: tuple[int, int]) -> None:
  """Sends the ranks, seconds, processor seconds, peak bytes of one method."""
  sides = embeddings(*sizes)
  start, begun = time.perf_counter(), time.process_time()
  ranks = function(*sides)
  seconds = time.perf_counter() - start, time.process_time() - begun
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
  connection.send((ranks, *seconds, peak))


def measure(function: Callable, sizes: tuple[int, int]) -> tuple:
  """What `_work` sends, of a method in its own process."""
  context = multiprocessing.get_context('spawn')
  ours, theirs = context.Pipe()
  process = context.Process(target=_work, args=(theirs, function, sizes))
  process.start()
  theirs.close()
  result = ours.recv()
  process.join()
  return result


def rank(pairs: int, width: int, sorting: bool) -> None:
  """Prints a table of the methods of ranking."""
  methods = (by_tiles, by_counting) + (by_sorting,) * sorting
  inputs = 2 * 4 * pairs * width / 2**30
  print(f'{pairs} pairs of {width}: {inputs:.1f} GiB\n')
  print('| method | seconds | processor s | peak, GiB | other ranks | R@10 |')
  print('| --- ' * 6 + '|')
  first = None
  for method in methods:
    ranks, seconds, cpu, peak = measure(method, (pairs, width))
    first = first or ranks
    # The order of a sum changes its last bit, which decides ties.
    others = sum(
      np.count_nonzero(a != b) for a, b in zip(ranks, first, strict=True)
    )
    recall = np.mean(ranks[0] < 10)
    print(
      f'| {method.__name__} | {seconds:.1f} | {cpu:.1f} | {peak / 2**30:.1f} | '
      f'{others} of {2 * pairs} | {recall:.3f} |',
      flush=True,
    )


def main() -> None:
  """Prints the table of ranking, and the time of embedding."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument(
    '--pairs', type=int, default=50_000, help='0: do not rank'
  )
  parser.add_argument('--width', type=int, default=4096)
  parser.add_argument('--sorting', action='store_true', help='slow: sort too')
  parser.add_argument('--clips', type=int, default=64, help='0: do not embed')
  parser.add_argument('--batch_size', type=int, default=16)
  parser.add_argument('--dtype', default='float32')
  options = parser.parse_args()
  if options.pairs:
    rank(options.pairs, options.width, options.sorting)
  if options.clips:
    wall, cpu = embed(options.clips, options.batch_size, options.dtype)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
      f'\nembedding {options.clips} clips, {options.dtype}: {wall:.0f} s '
      f'({options.clips / wall:.2f} clips/s), {cpu:.0f} s of processors, at '
      f'most {peak:.1f} GiB'
    )


if __name__ == '__main__':
  main()
