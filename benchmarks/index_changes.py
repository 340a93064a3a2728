"""Changes of an index of 100 hours, and its first answer after a cold start.

  python -m benchmarks.index_changes

Windows of 10 s every 5 s, vectors of 4096 in half precision.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from avl_jax.search.store.index import Index
from benchmarks import search

COLD = """
import sys, time
import numpy as np
from avl_jax.search.store.index import Index
start = time.perf_counter()
with Index.open(sys.argv[1]) as index:
  opened = time.perf_counter()
  query = np.ones((1, index.description.dim), np.float32)
  index.search('video', query, 10)
print(opened - start, time.perf_counter() - opened)
"""


def written() -> int:
  """Bytes that this process has passed to `write` calls."""
  lines = pathlib.Path('/proc/self/io').read_text().splitlines()
  return int(dict(line.split(': ') for line in lines)['wchar'])


def changes(folder: pathlib.Path, width: int) -> None:
  """Changes of an index of 100 hours, and its first answer."""
  search.build(folder, 72_000, width, 'float16')
  video = search.made_up(7, width, 'float32')[:120]
  print('\n| change of 100 hours | ms | kB written beside the vectors |')
  print('| --- | --- | --- |')
  with Index.open(folder, write=True) as index:
    made = {
      'a video of 10 minutes is added': lambda: search.add(index, 10**6, video),
      'the same video has changed': lambda: search.add(index, 10**6, video),
      'it is moved': lambda: index.move(f'{10**6:064d}', 'moved.mp4'),
      'it is dropped': lambda: index.drop('moved.mp4'),
    }
    for name, change in made.items():
      before, start = written(), time.perf_counter()
      change()
      seconds = time.perf_counter() - start
      size = video.size * 2 if 'video' in name else 0
      kilobytes = (written() - before - size) / 1e3
      print(f'| {name} | {1e3 * seconds:.0f} | {kilobytes:.1f} |')
  print('\n| first answer | whole process, s | opening, s | search, s |')
  print('| --- | --- | --- | --- |')
  for name in ('cold', 'warm'):
    if name == 'cold':
      for path in folder.iterdir():
        with path.open('rb') as file:
          os.fsync(file.fileno())
          os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    start = time.perf_counter()
    command = [sys.executable, '-c', COLD, folder]
    output = subprocess.run(command, check=True, capture_output=True).stdout
    seconds = time.perf_counter() - start
    parts = ' | '.join(f'{float(part):.2f}' for part in output.split())
    print(f'| {name} | {seconds:.2f} | {parts} |')


def main() -> None:
  """Prints the tables."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--width', type=int, default=4096)
  parser.add_argument('--scratch', help='folder for the made-up index')
  options = parser.parse_args()
  scratch = pathlib.Path(tempfile.mkdtemp(dir=options.scratch))
  try:
    changes(scratch / 'index', options.width)
  finally:
    shutil.rmtree(scratch)


if __name__ == '__main__':
  main()
