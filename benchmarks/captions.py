"""Time, memory and disk to read captions of HowTo100M's size.

  python -m benchmarks.captions --folder=/var/tmp

Writes made-up captions of 4,000 and 40,000 videos, about 110 each, as pickles
of three protocols and as JSON, and deletes them. Each is read in a process of
its own: by `CaptionIndex`, and whole by `pickle.load` or `json.load`. Prints
processor seconds, seconds, peak memory and size on disk, and what the growth
from the smaller to the larger file gives for 1.2 million videos. The goal is
less than 4 GiB and 30 minutes.
"""

import argparse
import json
import pathlib
import pickle
import random
import re
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

COUNTS, ALL = (4_000, 40_000), 1_200_000
WORDS = [f'{start}{end}' for start in 'abcdefghij' for end in range(300)]
WAYS = ('index', 'load')
PROTOCOLS = (2, 3, 4)


class Cost(NamedTuple):
  """What reading a file took."""

  busy: float  # seconds of the processor
  seconds: float
  memory: float  # peak, MiB
  disk: float  # MiB


def make(count: int) -> dict:
  """Captions as pandas' `tolist` gives them; the lengths are HowTo100M's."""
  rng = random.Random(0)
  phrases = [' '.join(rng.choices(WORDS, k=1 + i % 9)) for i in range(10_000)]
  captions = {}
  for i in range(count):
    number = 1 + int(rng.gammavariate(2, 55))
    starts = [round(3.6 * j + rng.random(), 2) for j in range(number)]
    captions[f'{i:011}'] = {
      'start': starts,
      'end': [start + 4.1 for start in starts],
      'text': [f'{rng.choice(phrases)} {rng.random():.3f}' for _ in starts],
    }
  return captions


def read(way: str, path: pathlib.Path) -> None:
  """Reads a file and prints its cost: the child process."""
  from input_pipeline.datasets.videos import caption_index

  start, busy, disk = time.perf_counter(), time.process_time(), 0
  if way == 'index':
    index = caption_index.CaptionIndex(path, path.parent / 'indices')
    assert not index.is_empty
    disk = index.path.stat().st_size
    index.path.unlink()
  else:
    with path.open('rb') as file:
      found = (pickle if path.suffix == '.pickle' else json).load(file)
    assert found
  busy = time.process_time() - busy
  seconds = time.perf_counter() - start
  status = pathlib.Path('/proc/self/status').read_text()
  (peak,) = re.findall(r'VmHWM:\s+(\d+) kB', status)
  print(json.dumps([busy, seconds, int(peak) / 2**10, disk / 2**20]))


def measure(way: str, path: pathlib.Path) -> Cost:
  """The cost of reading a file in a process of its own."""
  command = [sys.executable, '-m', 'benchmarks.captions', '--way', way]
  command += ['--file', str(path)]
  result = subprocess.run(
    command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
  )
  return Cost(*json.loads(result.stdout.splitlines()[-1]))


def report(name: str, small: Cost, large: Cost) -> None:
  """Prints a row of the table for each size."""
  share = (ALL - COUNTS[1]) / (COUNTS[1] - COUNTS[0])
  grown = Cost(
    *(b + (b - a) * share for a, b in zip(small, large, strict=True))
  )
  for count, cost in zip((*COUNTS, ALL), (small, large, grown), strict=True):
    mark = ' (by growth)' if count == ALL else ''
    print(
      f'| {name} | {count:,}{mark} | {cost.busy:,.1f} | {cost.seconds:,.1f} | '
      f'{cost.memory:,.0f} | {cost.disk:,.0f} |',
      flush=True,
    )


def main() -> None:
  """Writes, reads and deletes the files; prints the results."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--folder', default=tempfile.gettempdir())
  parser.add_argument('--way', choices=WAYS)
  parser.add_argument('--file', type=pathlib.Path)
  args = parser.parse_args()
  if args.way:
    read(args.way, args.file)
    return
  costs: dict[tuple[str, str], list[Cost]] = {}
  with tempfile.TemporaryDirectory(dir=args.folder) as folder:
    for count in COUNTS:
      captions = make(count)
      for kind in (*PROTOCOLS, 'json'):
        suffix = 'json' if kind == 'json' else 'pickle'
        path = pathlib.Path(folder, f'caption.{suffix}')
        with path.open('w' if kind == 'json' else 'wb') as file:
          if kind == 'json':
            json.dump(captions, file)
          else:
            pickle.dump(captions, file, kind)
        name = suffix if kind == 'json' else f'pickle, protocol {kind}'
        for way in WAYS:
          costs.setdefault((name, way), []).append(measure(way, path))
        path.unlink()
      del captions
  print('| | videos | processor s | s | peak MiB | on disk MiB |')
  print('| --- | --- | --- | --- | --- | --- |')
  for (name, way), (small, large) in costs.items():
    title = 'index' if way == 'index' else f'{name.split(",")[0]}.load'
    report(f'{name}: {title}', small, large)


if __name__ == '__main__':
  main()
