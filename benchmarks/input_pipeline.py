"""Speed of making clips of untrimmed videos, compared with other loaders.

  python -m benchmarks.input_pipeline
  python -m benchmarks.input_pipeline --tricks --rounds=5
  python -m benchmarks.input_pipeline --videos=16

Writes videos of random content in the layout of HowTo100M's features (390 s,
about 7 MB each), prepares their records, and cuts 32 random windows of 10 s
from each video of a batch. Three loaders do this: this program, with threads or
with worker processes; a copy of the authors' loader, which reads three whole
npz files a video; and a plain tf.data graph over TFRecord files. Each runs in
its own processes, which take turns, a few batches each. The table shows the
median of the rounds. All files are in the system's cache. --only=processes
measures the loaders with that in their names.

Clips a second and core are computed from the processor time of all threads and
processes, so other work on the machine has less influence; the thesis' training
consumes 406 of them a second and core on 16 cores. The bytes read are counted
by Linux. With --tricks, the benchmark disables one optimisation of this program
at a time.
"""

import argparse
import contextlib
import multiprocessing
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from unittest import mock

import numpy as np

from benchmarks import loaders, tricks
from benchmarks import workers as processes

BATCHES = 8  # batches of a turn, of all workers together


def _counts() -> list[float]:
  """[processor seconds, bytes read] of this process and its children."""
  children = [child.pid for child in multiprocessing.active_children()]
  seconds, read = 0.0, 0
  for pid in (os.getpid(), *children):
    folder = pathlib.Path(f'/proc/{pid}')
    fields = (folder / 'stat').read_text().rpartition(') ')[2].split()
    seconds += sum(map(int, fields[11:13])) / os.sysconf('SC_CLK_TCK')
    read += int((folder / 'io').read_text().split()[1])
  return [seconds, read]


def _work(connection, way, trick, folder, batch_size, workers) -> None:
  """Runs in a process: receives numbers of batches and makes them; 0 ends it.

  Sends [clips, seconds, processor seconds, bytes read] for each number.
  """
  with tricks.WITHOUT[trick]():
    turn = getattr(loaders, way)(folder, batch_size, workers)
    while count := connection.recv():
      before = [0, time.perf_counter(), *_counts()]
      clips = sum(len(batch['visual']) for batch in turn(count))
      now = [clips, time.perf_counter(), *_counts()]
      connection.send(np.subtract(now, before))


@contextlib.contextmanager
def _processes(count: int, *args) -> Iterator[Callable[[], np.ndarray]]:
  """Yields a function that makes batches in processes and adds their counts."""
  # The loader's may have worker processes of their own.
  started = [processes.spawn(_work, *args, daemon=False) for _ in range(count)]

  def ask() -> np.ndarray:
    for _, ours in started:
      ours.send(BATCHES // count)
    facts = np.stack([ours.recv() for _, ours in started])
    return np.where([0, 1, 0, 0], facts.max(0), facts.sum(0))

  try:
    yield ask
  finally:
    for process, ours in started:
      with contextlib.suppress(OSError):  # It ended by itself.
        ours.send(0)
      process.join()


def measure(rows: dict[str, tuple], rounds: int) -> None:
  """Prints a table of `rows`: name -> arguments of `_processes`."""
  with contextlib.ExitStack() as stack:
    asks = {
      name: stack.enter_context(_processes(*args))
      for name, args in rows.items()
    }
    for ask in asks.values():
      ask()  # The first turn starts threads and allocates memory.
    facts = {name: [] for name in rows}
    for _ in range(rounds):
      for name, ask in asks.items():
        facts[name].append(ask())
  print(f'{"":42} clips/s  clips/s a core  kB a clip')
  for name, found in facts.items():
    clips, seconds, processor, read = np.array(found).T
    print(
      f'{name:42} {np.median(clips / seconds):7,.0f} '
      f'{np.median(clips / processor):15,.0f} '
      f'{read.sum() / clips.sum() / 1e3:10,.0f}'
    )


def main() -> None:
  """Measures the loaders or, with --tricks, the optimisations."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--videos', type=int, default=64)
  parser.add_argument('--seconds', type=int, default=390)
  parser.add_argument('--rounds', type=int, default=9)
  parser.add_argument('--only', default='')
  parser.add_argument('--tricks', action='store_true')
  options = parser.parse_args()
  size = min(128, options.videos)
  with tempfile.TemporaryDirectory() as folder:
    loaders.write_videos(pathlib.Path(folder), options.videos, options.seconds)
    loaders.prepare(folder)
    if options.tricks:
      other = f'{folder}/compressed'
      with mock.patch(
        'input_pipeline.datasets.videos.builder.uncompressed',
        contextlib.nullcontext,
      ):
        loaders.prepare(other, folder)
      rows = {
        trick: (
          1,
          'ours',
          trick,
          other if trick == tricks.COMPRESSED else folder,
          size,
          1,
        )
        for trick in tricks.WITHOUT
      }
    else:
      loaders.write_tfrecords(folder)
      rows = {}
      for workers in (1, 2):
        for name, way in loaders.WAYS.items():
          processes = workers if way == 'release' else 1
          rows[f'{name}, workers: {workers}'] = (
            processes,
            way,
            'unchanged',
            folder,
            size,
            workers,
          )
    chosen = {name: row for name, row in rows.items() if options.only in name}
    measure(chosen, options.rounds)


if __name__ == '__main__':
  main()
