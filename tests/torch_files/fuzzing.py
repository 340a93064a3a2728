"""Reads damaged files in a process of its own, without JAX.

python -m tests.torch_files.fuzzing SEED FIRST END FOLDER

It prints how many files were read and refused, and the growth of the memory.
"""

import json
import os
import pathlib
import resource
import signal
import sys
import warnings

import numpy as np

from avl_jax import torch_files
from tests.helpers.torch_files import mutations

# Bounds on one file of about a kilobyte, which takes 0.3 ms and no memory to
# speak of. They are wide, because they are for what has no end.
SECONDS = 10  # of processor time
MEMORY = 2**26  # bytes that the process grows by

READERS = {
  'pickle': torch_files.read_pickle,
  'checkpoint': torch_files.read_checkpoint,
  'array': lambda path: torch_files.read_array(path, 'a'),
}


def main(seed: int, first: int, end: int, folder: pathlib.Path) -> None:
  files = mutations.seeds()
  for file in files:  # Each is valid before it is damaged.
    (folder / 'file').write_bytes(file.wrap(file.inner))
    _walk(READERS[file.reader](folder / 'file'))
  _limit_memory()
  before, counts = _peak(), {'read': 0, 'refused': 0}
  for index in range(first, end):
    reader, content = mutations.mutated(files, seed, index)
    (folder / 'index').write_text(f'seed {seed}, index {index}, {reader}')
    (folder / 'file').write_bytes(content)
    # Its signal ends the process, even inside of a C function.
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
      _walk(READERS[reader](folder / 'file'))
      counts['read'] += 1
    except torch_files.ReleaseError as error:
      if isinstance(error.__cause__, MemoryError):
        raise AssertionError('It asked for too much memory.') from error
      if len(str(error).encode()) > 4000:
        raise AssertionError('The message is too long.') from error
      counts['refused'] += 1
    grown = _peak() - before
    assert grown < MEMORY, f'It took {grown} bytes.'
  signal.setitimer(signal.ITIMER_PROF, 0)
  print(json.dumps(counts | {'grown': _peak() - before}))


def _walk(value: object) -> None:
  """Touches each byte of what a reader returned, as its users will."""
  if isinstance(value, np.ndarray):
    value.tobytes()
  elif isinstance(value, dict):
    for key, item in value.items():
      assert isinstance(key, str | int)
      _walk(item)
  elif isinstance(value, list | tuple):
    for item in value:
      _walk(item)
  else:
    assert isinstance(value, str | bytes | int | float | None)


def _peak() -> int:
  kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return kilobytes * 1024


def _limit_memory() -> None:
  """Makes whatever asks for a few times `MEMORY` at once raise MemoryError."""
  pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])
  limit = pages * os.sysconf('SC_PAGE_SIZE') + 4 * MEMORY
  resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == '__main__':
  warnings.simplefilter('ignore')  # of NumPy and Python, about odd headers
  main(*map(int, sys.argv[1:4]), pathlib.Path(sys.argv[4]))
