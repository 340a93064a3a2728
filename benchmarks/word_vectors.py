"""Time to look up words in a file of vectors as large as GoogleNews'.

  python -m benchmarks.word_vectors --folder=/var/tmp

Writes 3,000,000 synthetic words x 300 random values in word2vec's binary format
(3.6 GB), looks up 20,000 of them, and deletes the file. Prints seconds and the
peak memory of the process. The goal is less than 60 s and 4 GB.
"""

import argparse
import pathlib
import resource
import tempfile
import time

import numpy as np

from avl_jax.features import word_vectors

WORDS, DIM, LOOKED_UP = 3_000_000, 300, 20_000


def write(path: pathlib.Path) -> None:
  """Writes words of 4 to 18 letters, the length of GoogleNews' words."""
  rng = np.random.default_rng(0)
  vectors = rng.normal(size=(1000, DIM)).astype('<f4')
  with path.open('wb') as file:
    file.write(f'{WORDS} {DIM}\n'.encode())
    for start in range(0, WORDS, len(vectors)):
      lines = (
        f'{name(start + i)} '.encode() + vector.tobytes()
        for i, vector in enumerate(vectors)
      )
      file.write(b''.join(lines))


def name(index: int) -> str:
  """Returns the word at an index."""
  return f'w{index}' + 'x' * (index * 7919 % 11)


def main() -> None:
  """Writes, reads and deletes the file; prints the results."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument(
    '--folder', type=pathlib.Path, default=tempfile.gettempdir()
  )
  path = parser.parse_args().folder / 'benchmark_vectors.bin'
  try:
    write(path)
    size = path.stat().st_size / 1e9
    wanted = {name(i) for i in range(0, WORDS, WORDS // LOOKED_UP)}
    for attempt in ('first', 'second'):
      start, busy = time.perf_counter(), time.process_time()
      found = word_vectors.Word2Vec(path).look_up(wanted)
      seconds = time.perf_counter() - start
      busy = time.process_time() - busy
      assert len(found) == len(wanted) == LOOKED_UP
      print(
        f'{attempt} scan of {size:.1f} GB: {seconds:.1f} s, of which {busy:.1f}'
        ' s of processor time'
      )
  finally:
    path.unlink(missing_ok=True)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
  print(f'peak memory {peak:.2f} GB')


if __name__ == '__main__':
  main()
