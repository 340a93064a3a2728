"""Time of a training step by part of the network.

  python -m benchmarks.profile_step --dtype bfloat16

Traces one step with `jax.profiler` and adds up the time of XLA's operations by
the part of the network from which they come. A fusion counts for the part of
its last operation. XLA rewrites the convolutions of kernel gradients and adds
copies into other layouts; both lose their origin and have rows of their own.
Operations that run at the same time share the time.
"""

import argparse
import bisect
import collections
import itertools
import pathlib
import re
import tempfile
from collections.abc import Iterator
from typing import Any

import jax

from benchmarks import full_size

PARTS = (
  ('stem', r'/stem(_norm)?/'),
  *((f'stage {i}', rf'/stage{i}_') for i in (1, 2, 3, 4)),
  ('heads', r'/(audio|video)_(head|projection)/'),
  ('pooling and loss', r'jvp\('),
  ('kernel gradients', r'^convolution'),
  ("XLA's copies", r'^[^/]*$'),
  ('optimizer', ''),
)
KINDS = (
  ('products', r'(conv_general_dilated|dot_general)$|^convolution'),
  ('batch norm', r'norm\d?/'),
  ('other', ''),
)


def plain(name: str) -> str:
  """An operation's name as all say it: traces write `_` where programs `.`."""
  return re.sub(r'\W', '_', name)


def sources(program: str) -> dict[str, str]:
  """Maps the plain name of each operation of a program to its path."""
  pattern = r'^\s*(?:ROOT )?%?([\w.-]+) = .*op_name="([^"]+)"'
  found = re.findall(pattern, program, re.MULTILINE)
  return {plain(name): path for name, path in found}


def intervals(
  trace: jax.profiler.ProfileData,
) -> list[tuple[float, float, str]]:
  """(start, end, operation) of each time that an operation ran, in ns.

  An operation may run often, and on a GPU many have one kernel. There, one
  event covers the kernel and names the operation. On a CPU an event may only
  start an operation; the next event 'end: ' of that name is its end.
  """
  found, ends = [], collections.defaultdict(list)
  for plane in trace.planes:
    for event in (event for line in plane.lines for event in line.events):
      operation = dict(event.stats).get('hlo_op')
      if operation is not None:
        found.append((event.start_ns, event.end_ns, str(operation)))
      elif event.name.startswith('end: '):
        ends[event.name.removeprefix('end: ')].append(event.end_ns)
  return [
    (start, max(end, ended), name)
    for name, runs in _by_name(found).items()
    for (start, end), ended in zip(
      runs, _ends(runs, sorted(ends[name])), strict=True
    )
  ]


def _by_name(found: list) -> dict[str, list[tuple[float, float]]]:
  """Operation -> (start, end) of its runs, sorted."""
  runs = collections.defaultdict(list)
  for start, end, name in sorted(found):
    runs[name].append((start, end))
  return runs


def _ends(runs: list[tuple[float, float]], ends: list[float]) -> list[float]:
  """The last of the sorted `ends` before the next run; 0 where none is."""
  starts = [start for start, _ in runs]
  bounds = [bisect.bisect_left(ends, start) for start in starts]
  bounds.append(len(ends))
  return [
    ends[last - 1] if last > first else 0
    for first, last in itertools.pairwise(bounds)
  ]


def operations(
  trace: jax.profiler.ProfileData,
) -> Iterator[tuple[str, float]]:
  """Yields (operation, nanoseconds) of a trace; overlaps share their time."""
  runs = dict(enumerate(intervals(trace)))
  changes = [(start, i, True) for i, (start, _, _) in runs.items()]
  changes += [(end, i, False) for i, (_, end, _) in runs.items()]
  running, last = set(), 0
  for time, i, begins in sorted(changes, key=lambda change: change[0]):
    for other in running:
      yield runs[other][2], (time - last) / len(running)
    last = time
    (running.add if begins else running.discard)(i)


def classify(source: str) -> tuple[str, str, str]:
  """Returns (part, kind, direction) of an operation."""
  part, kind = (
    next(name for name, pattern in table if re.search(pattern, source))
    for table in (PARTS, KINDS)
  )
  is_backward = re.search(r'transpose\(|^convolution', source)
  return part, kind, 'backward' if is_backward else 'forward'


def trace(
  options: argparse.Namespace, **sizes: Any
) -> tuple[dict, collections.Counter]:
  """Nanoseconds by (part, kind, direction), and by (operation, source)."""
  step, state, batch = full_size.make_step(
    full_size.make_batch(options.batch_size),
    options.dtype,
    options.structure,
    options.remat,
    **sizes,
  )
  paths = sources(step.lower(state, batch).compile().as_text())
  state, _ = jax.block_until_ready(step(state, batch))
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      jax.block_until_ready(step(state, batch))
    (path,) = pathlib.Path(folder).rglob('*.xplane.pb')
    recorded = jax.profiler.ProfileData.from_file(str(path))
    classes, names = collections.Counter(), collections.Counter()
    for name, duration in operations(recorded):
      source = paths.get(plain(name), name)
      classes[classify(source)] += duration
      names[name, source] += duration
  return classes, names


def main() -> None:
  """Prints shares by part and kind, and the longest operations."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--batch_size', type=int, default=32)
  parser.add_argument('--dtype', default='float32')
  parser.add_argument(
    '--structure', choices=('release', 'thesis'), default='release'
  )
  parser.add_argument('--remat', action='store_true')
  parser.add_argument('--longest', type=int, default=12, help='how many')
  options = parser.parse_args()
  classes, names = trace(options)
  whole = sum(classes.values())
  columns = [
    (kind, direction)
    for kind, _ in KINDS
    for direction in ('forward', 'backward')
  ]
  print(f'{options.dtype}, batch {options.batch_size}: {whole / 1e9:.2f} s\n')
  print('| part |', ' | '.join(map(' '.join, columns)), '| all |')
  print('| --- ' * (2 + len(columns)) + '|')
  for part in (*(name for name, _ in PARTS), 'all'):
    shares = [
      sum(
        duration
        for (p, *column), duration in classes.items()
        if tuple(column) == wanted and part in (p, 'all')
      )
      / whole
      for wanted in columns
    ]
    cells = [f'{share:.1%}' for share in (*shares, sum(shares))]
    print('|', part, '|', ' | '.join(cells), '|')
  print('\nthe longest operations:\n')
  for (name, source), duration in names.most_common(options.longest):
    print(f'{duration / whole:6.1%}  {name}  {source}')


if __name__ == '__main__':
  main()
