"""Time of a training step by part of the network."""

import argparse
import functools
from collections.abc import Callable

from benchmarks import profile_step
from benchmarks.gpu.parts import Sizes


def by_part(sizes: Sizes) -> list[dict]:
  """A row for each part; columns are kinds of operations, in ms."""
  options = argparse.Namespace(
    batch_size=sizes.batch_size,
    dtype='bfloat16',
    structure='release',
    remat=False,
  )
  classes, names = profile_step.trace(options, **sizes.model)
  if not classes:
    return [{'result': 'the trace names no operation'}]
  rows = []
  for part in (*(name for name, _ in profile_step.PARTS), 'all'):
    row: dict = {'part': part}
    for kind in (*(name for name, _ in profile_step.KINDS), 'all'):
      nanoseconds = sum(
        duration
        for (p, k, _), duration in classes.items()
        if part in (p, 'all') and kind in (k, 'all')
      )
      row[f'{kind}, ms'] = f'{nanoseconds / 1e6:.2f}'
    rows.append(row)
  (name, source), duration = names.most_common(1)[0]
  rows.append({'result': f'longest: {name} {source}, {duration / 1e6:.2f} ms'})
  return rows


def cases(sizes: Sizes) -> dict[str, Callable]:
  """One case."""
  name = f'batch {sizes.batch_size}'
  return {name: functools.partial(by_part, sizes)}
