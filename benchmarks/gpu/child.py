"""Runs the cases of a part of `benchmarks.gpu`, and notes each in a file.

  python -m benchmarks.gpu.child MODULE FILE SIZES SKIP

Each line of FILE is JSON: the names of all cases, then of each case that it
begins, then its rows. SKIP cases were run before. XLA computes without Triton,
as in the program, unless XLA_FLAGS speaks of it.
"""

import importlib
import json
import sys
import time
from typing import Any

from avl_jax import compilation
from benchmarks import workers
from benchmarks.gpu import parts


def main() -> None:
  """Runs the cases; an exception becomes a row."""
  module, path, sizes, skip = sys.argv[1:]
  compilation.avoid_triton()
  made = importlib.import_module(module)
  cases = made.cases(getattr(parts, sizes))
  with open(path, 'a', encoding='utf8') as file:

    def note(**facts: Any) -> None:
      file.write(json.dumps(facts) + '\n')
      file.flush()

    note(cases=list(cases))
    for name, case in list(cases.items())[int(skip) :]:
      note(begins=name)
      start = time.perf_counter()
      try:
        rows = case()
      except Exception as error:
        rows = {'result': workers.first_line(error)}
      rows = rows if isinstance(rows, list) else [rows]
      seconds = round(time.perf_counter() - start, 1)
      rows = [{'case': name, **row, 'seconds': seconds} for row in rows]
      note(ended=name, rows=rows)


if __name__ == '__main__':
  main()
