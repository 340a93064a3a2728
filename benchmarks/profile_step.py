"""Time of a training step by part of the network.

  python -m benchmarks.profile_step --dtype bfloat16

Traces one step with `jax.profiler` and adds up the time of XLA's operations by
the part of the network from which they come. A fusion counts for the part of
its last operation. XLA rewrites the convolutions of kernel gradients and adds
copies into other layouts; both lose their origin and have rows of their own.
Operations that run at the same time share the time.
"""

import argparse
import collections
import pathlib
import re
import tempfile
from collections.abc import Iterator

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


def sources(program: str) -> dict[str, str]:
  """Maps each operation of a compiled program to its path in the network."""
  pattern = r'^\s*(?:ROOT )?%?([\w.-]+) = .*op_name="([^"]+)"'
  return dict(re.findall(pattern, program, re.MULTILINE))


def operations(folder: str) -> Iterator[tuple[str, float]]:
  """Yields (operation, nanoseconds) of a trace; overlaps share their time.

  On a CPU an event may only start an operation, and another event, named
  'end: ', marks its end; on a GPU one event covers the operation.
  """
  (path,) = pathlib.Path(folder).rglob('*.xplane.pb')
  starts, ends = {}, {}
  for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
    for event in (event for line in plane.lines for event in line.events):
      if 'hlo_op' in dict(event.stats):
        starts.setdefault(event.name, event.start_ns)
        ends[event.name] = max(ends.get(event.name, 0), event.end_ns)
      elif event.name.startswith('end: '):
        name = event.name.removeprefix('end: ')
        ends[name] = max(ends.get(name, 0), event.end_ns)
  changes = [(time, name, True) for name, time in starts.items()]
  changes += [(ends[name], name, False) for name in starts]
  running, last = set(), 0
  for time, name, begins in sorted(changes):
    for other in running:
      yield other, (time - last) / len(running)
    last = time
    (running.add if begins else running.discard)(name)


def classify(source: str) -> tuple[str, str, str]:
  """Returns (part, kind, direction) of an operation."""
  part, kind = (
    next(name for name, pattern in table if re.search(pattern, source))
    for table in (PARTS, KINDS)
  )
  is_backward = re.search(r'transpose\(|^convolution', source)
  return part, kind, 'backward' if is_backward else 'forward'


def trace(options: argparse.Namespace) -> tuple[dict, collections.Counter]:
  """Nanoseconds by (part, kind, direction), and by (operation, source)."""
  step, state, batch = full_size.make_step(
    full_size.make_batch(options.batch_size),
    options.dtype,
    options.structure,
    options.remat,
  )
  paths = sources(step.lower(state, batch).compile().as_text())
  state, _ = jax.block_until_ready(step(state, batch))
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      jax.block_until_ready(step(state, batch))
    classes, names = collections.Counter(), collections.Counter()
    for name, duration in operations(folder):
      source = paths.get(name, name)
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
