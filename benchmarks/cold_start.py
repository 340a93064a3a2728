"""Parts of the time from the command to the first training step.

  python -m benchmarks.cold_start --config=configs/stamps.py
  python -m benchmarks.cold_start --config=configs/stamps.py --rounds=3

Takes the options of main.py; the data must be prepared. Starts a training in a
new folder and a new process, several times, and ends it after its first step.
A run scores its initial variables and saves them before that.
The first time fills the caches of the disk and of compiled programs, and is not
counted. The table has medians; on busy cores the processor time tells more.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

_STARTED, _FILE = 'COLD_START_TIME', 'COLD_START_FILE'
PARTS = {  # functions of avl_jax.modes.train -> what they do
  'prepare': 'look for the prepared data',
  '_open_batches': 'open the records',
  '_first_state': 'the initial state',
  '_make_evaluate': 'open the evaluations',
}


class _Marks:
  """Times at which parts of the start ended, in the process that starts."""

  def __init__(self, started: float):
    """Takes the time at which the process was asked for."""
    self._last = started, 0.0
    self._found: list[tuple[str, float, float]] = []

  def mark(self, part: str) -> None:
    """Ends a part, which began when the last one ended."""
    now = time.time(), time.process_time()
    wall, processor = (a - b for a, b in zip(now, self._last, strict=True))
    self._found.append((part, wall, processor))
    self._last = now

  def after(self, part: str, function: Callable) -> Callable:
    """The function; when it returns, the part ends."""

    def marked(*args, **kwargs):
      result = function(*args, **kwargs)
      self.mark(part)
      return result

    return marked

  def end(self) -> None:
    """Writes the parts and ends the process at once."""
    with open(os.environ[_FILE], 'w', encoding='utf8') as file:
      json.dump(self._found, file)
    os._exit(0)


def _start(argv: list[str]) -> None:
  """Runs main.py in this process until its first step is done."""
  marks = _Marks(float(os.environ[_STARTED]))
  import main

  main.read_arguments(argv)
  marks.mark('Python, the config and the arguments')
  import tensorflow  # noqa: F401

  marks.mark('import TensorFlow')
  import input_pipeline  # noqa: F401

  marks.mark('import TFDS and the loader')
  import jax

  marks.mark('import JAX')
  from avl_jax import modes, parallel  # noqa: F401
  from avl_jax.modes import train

  marks.mark('import Flax, Optax, Orbax and the program')
  make_step = parallel.pmap_step

  def pmap_step(step: Callable) -> Callable:
    mapped = make_step(step)

    def first(state, batch):
      marks.mark('the first checkpoint, the first batch')
      jax.block_until_ready(mapped(state, batch))
      marks.mark('the step: trace it, load it from the cache, run it')
      marks.end()

    return first

  parallel.pmap_step = pmap_step
  for name, part in PARTS.items():
    setattr(train, name, marks.after(part, getattr(train, name)))
  make_evaluate = train._make_evaluate
  train._make_evaluate = lambda *args: marks.after(
    'the scores of the initial variables', make_evaluate(*args)
  )
  main.main(argv)


def measure(argv: list[str]) -> list[tuple[str, float, float]]:
  """(part, seconds, processor seconds) of one start."""
  with tempfile.TemporaryDirectory() as folder:
    file = f'{folder}/parts.json'
    subprocess.run(
      [
        *(sys.executable, '-m', 'benchmarks.cold_start', 'START', *argv),
        f'--workdir={folder}/run',
      ],
      env={**os.environ, _STARTED: str(time.time()), _FILE: file},
      stdout=subprocess.DEVNULL,
      check=True,
    )
    with open(file, encoding='utf8') as opened:
      return json.load(opened)


def main() -> None:
  """Measures several starts and prints a table."""
  rounds = 3
  argv = sys.argv[1:]
  for option in [each for each in argv if each.startswith('--rounds=')]:
    argv.remove(option)
    rounds = int(option.partition('=')[2])
  measure(argv)
  runs = [measure(argv) for _ in range(rounds)]
  rows = [
    (
      parts[0][0],
      statistics.median(seconds for _, seconds, _ in parts),
      statistics.median(seconds for *_, seconds in parts),
    )
    for parts in zip(*runs, strict=True)
  ]
  rows.append(('all', *(sum(row[i] for row in rows) for i in (1, 2))))
  print('| | seconds | processor seconds |\n| --- | --- | --- |')
  for part, wall, processor in rows:
    print(f'| {part} | {wall:.1f} | {processor:.1f} |')


if __name__ == '__main__':
  if sys.argv[1:2] == ['START']:
    _start(['main.py', *sys.argv[2:]])
  else:
    main()
