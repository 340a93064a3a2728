"""Results and speed of a GPU, in at most six minutes on one H100.

  python -m benchmarks.gpu
  python -m benchmarks.gpu --small --parts arithmetic nearest   # without a GPU

A self-test; wrong results that jax's tracker tells of; the golden numbers, in
float32 and bfloat16; ten training steps, repeated, with and without
deterministic kernels; the speed and memory of a training step beside PyTorch's
where it is installed; where its time goes; ranking and search. Prints Markdown
and writes the same as JSON. Needs no TensorFlow.

Each part has a time of its own and runs in processes of its own: what aborts
or hangs is a row of its table. `--times 2` doubles these times.
"""

import argparse
import dataclasses
import json
import pathlib
import tempfile
import time

from benchmarks.gpu import isolation, repeats
from benchmarks.gpu.parts import PARTS


def table(rows: list[dict]) -> str:
  """Rows as a table in Markdown; a column for each key, 'seconds' last."""
  columns = list(dict.fromkeys(key for row in rows for key in row))
  columns.sort(key='seconds'.__eq__)
  lines = [columns, ['---'] * len(columns)]
  lines += [
    [str(row.get(column, '')).replace('|', '/') for column in columns]
    for row in rows
  ]
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def main() -> None:
  """Runs the parts, and prints and writes their tables."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  names = [part.name for part in PARTS]
  parser.add_argument('--small', action='store_true', help='sizes of the tests')
  parser.add_argument('--parts', nargs='+', choices=names, default=names)
  parser.add_argument('--times', type=float, default=1)
  parser.add_argument('--json', type=pathlib.Path, default='gpu.json')
  options = parser.parse_args()
  sizes = 'SMALL' if options.small else 'FULL'
  tables = {}
  start = time.monotonic()
  with tempfile.TemporaryDirectory() as folder:
    for each in PARTS:
      if each.name not in options.parts:
        continue
      part = dataclasses.replace(each, seconds=options.times * each.seconds)
      begun = time.monotonic()
      rows = isolation.run(part, sizes, pathlib.Path(folder))
      tables[part.name] = rows
      took = time.monotonic() - begun
      print(f'## {part.title}\n\n{table(rows)}\n', flush=True)
      if part.name == 'repeats':
        print('\n'.join(repeats.sentences(rows)), '\n')
      print(f'{took:.0f} of at most {part.seconds:.0f} s\n', flush=True)
      options.json.write_text(json.dumps(tables, indent=2) + '\n')
  print(f'{time.monotonic() - start:.0f} s; the same as JSON: {options.json}')


if __name__ == '__main__':
  main()
