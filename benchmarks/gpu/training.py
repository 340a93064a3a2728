"""Speed and memory of a training step, beside PyTorch's where it is."""

import argparse
import functools
import os
from collections.abc import Callable

from benchmarks import train_step, workers
from benchmarks.gpu.parts import Sizes

ROUNDS = 2


def speed(name: str, size: int, sizes: Sizes, folder: str) -> dict:
  """A row: a model alone on the device, in a process of its own.

  Args:
    name: ours, or a twin; ours must run first, because it writes the weights.
    size: of the batch.
    sizes: steps of a round, and the model's sizes.
    folder: for weights and compiled programs.
  """
  options = argparse.Namespace(
    batch_size=size,
    dtype='bfloat16',
    structure='release',
    remat=False,
    folder=folder,
    sizes=sizes.model,
  )
  with workers.worker(name, options) as (ask, facts):
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


def cases(sizes: Sizes) -> dict[str, Callable]:
  """All at the usual batch size, then at the others."""
  folder = os.environ['JAX_COMPILATION_CACHE_DIR']  # which the parent removes
  names = [workers.OURS, *(workers.TWINS if sizes.twins else ())]
  pairs = [(name, sizes.batch_size) for name in names]
  pairs += [(name, size) for size in sizes.batch_sizes for name in names]
  return {
    f'{name}, batch {size}': functools.partial(speed, name, size, sizes, folder)
    for name, size in pairs
  }
