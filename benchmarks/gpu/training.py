"""Speed and memory of a training step, beside PyTorch's where it is."""

import argparse
import functools
import os
from collections.abc import Callable

from benchmarks import train_step, workers
from benchmarks.gpu.parts import Sizes

ROUNDS = 2


def _options(size: int, sizes: Sizes) -> argparse.Namespace:
  return argparse.Namespace(
    batch_size=size,
    dtype='bfloat16',
    structure='release',
    remat=False,
    # The parent removes it. It gets weights and compiled programs.
    folder=os.environ['JAX_COMPILATION_CACHE_DIR'],
    sizes=sizes.model,
  )


def _row(ask: Callable, facts: dict, size: int, sizes: Sizes) -> dict:
  """A row: a model that alone computes; others may wait in their memory."""
  if 'missing' in facts:
    return {'result': f'skipped: {facts["missing"]}'}
  ask(1)
  rounds = [ask(sizes.steps) for _ in range(ROUNDS)]
  seconds = min(seconds for seconds, _ in rounds)
  row = {
    'clips/s': round(size / seconds, 1),
    'ms': round(1e3 * seconds, 1),
    'GiB': round(max(memory for _, memory in rounds) / 2**30, 1),
    'first step, s': round(facts['first'], 1),
    'loss': round(facts['loss'], 4),
    'result': facts['device'],
  }
  if not sizes.model:
    tera = size / seconds * train_step.GFLOP_PER_CLIP / 1000
    row['TFLOP/s'] = round(tera, 1)
  return row


def _waves(sizes: Sizes) -> list[list[tuple[str, int]]]:
  """(model, batch size) of the processes that make their models together.

  Ours is alone at first, because it writes the weights of the others.
  """
  usual, twins = sizes.batch_size, workers.TWINS if sizes.twins else ()
  compiled = [name for name in twins if name not in workers.EAGER]
  eager = [name for name in twins if name in workers.EAGER]
  return [
    [(workers.OURS, usual)],
    [(name, usual) for name in eager]
    + [(n, size) for size in sizes.batch_sizes for n in (workers.OURS, *eager)],
    [(name, usual) for name in compiled],
    [(name, size) for size in sizes.batch_sizes for name in compiled],
  ]


def cases(sizes: Sizes) -> dict[str, Callable]:
  """All models; those that compile long are last."""
  waiting: dict[tuple[str, int], workers.Worker] = {}

  def speed(pair: tuple[str, int], wave: list[tuple[str, int]]) -> dict:
    if pair not in waiting:
      for each in wave[wave.index(pair) :]:
        waiting[each] = workers.start(each[0], _options(each[1], sizes))
      for each in waiting.values():
        each.pipe.poll(None)  # None makes its model while another is measured.
    name, size = pair
    options = _options(size, sizes)
    with workers.worker(name, options, waiting.pop(pair)) as (ask, facts):
      return _row(ask, facts, size, sizes)

  return {
    f'{name}, batch {size}': functools.partial(speed, (name, size), wave)
    for wave in _waves(sizes)
    for name, size in wave
  }
