"""Ten training steps, twice in a process: the same bits, and how fast."""

import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from avl_jax.retrieval import evaluation
from benchmarks import full_size
from benchmarks.gpu.parts import Sizes

STEPS = 10


def ten_steps(sizes: Sizes) -> dict:
  """Fingerprints of the variables after ten steps from the same start."""
  step, state, batch = full_size.make_step(
    full_size.make_batch(sizes.batch_size),
    'bfloat16',
    'release',
    False,
    **sizes.model,
  )
  copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))  # one program
  starts = [state, copy(state), copy(state)]
  jax.block_until_ready(step(starts.pop(), batch))  # compiles
  prints, seconds = [], []
  for start in starts:
    begun, last = time.perf_counter(), start
    for _ in range(STEPS):
      last, _ = step(last, batch)
    jax.block_until_ready(last)
    seconds.append((time.perf_counter() - begun) / STEPS)
    prints.append(evaluation.fingerprint(jax.device_get(last.variables)))
  return {
    'batch': sizes.batch_size,
    'first': prints[0],
    'second': prints[1],
    'ms a step': round(1e3 * min(seconds), 2),
    'result': 'equal' if len(set(prints)) == 1 else 'DIFFERENT',
  }


def sentences(rows: list[dict]) -> list[str]:
  """What the rows of all processes say together."""
  found, times = {}, {}
  for row in rows:
    if 'first' in row:
      kind = row['process'].split(',')[0]
      found.setdefault(kind, []).extend([row['first'], row['second']])
      times.setdefault(kind, []).append(row['ms a step'])
  lines = [
    f'{kind}: {len(prints)} runs of ten steps, {len(set(prints))} results.'
    for kind, prints in found.items()
  ]
  if len(times) > 1:
    usual, other = (min(times[kind]) for kind in times)
    lines.append(f'Deterministic kernels cost {other / usual - 1:+.1%}.')
  return lines


def cases(sizes: Sizes) -> dict[str, Callable]:
  """One case; `parts` has the processes."""
  return {'ten steps': functools.partial(ten_steps, sizes)}
