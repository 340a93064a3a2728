"""How fast clips of untrimmed videos are made, beside other ways.

  python -m benchmarks.input_pipeline
  python -m benchmarks.input_pipeline --tricks --rounds=5
  python -m benchmarks.input_pipeline --videos=16

Writes videos of random content in the layout of HowTo100M's features (390 s,
about 7 MB each), prepares their records, and cuts 32 random windows of 10 s of
each video of a batch: by this program; as the authors' loader does, which
reads three whole npz files a video; and by a plain tf.data graph over TFRecord
files. Each is its own processes, which take turns, a few batches each; the
median of the rounds is printed. All files are in the system's cache.

Clips a second of one core are by the processor's time, all threads together,
so that other work on the machine counts less; the thesis' training takes 406
of them a second and core on 16 cores. Bytes are those of the system's calls,
so Linux is needed. With --tricks: this program without each of what makes it
fast.
"""

import argparse
import contextlib
import multiprocessing
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from unittest import mock

import numpy as np

from benchmarks import loaders, tricks

BATCHES = 4  # of a turn, of all workers together


def _read_bytes() -> int:
  return int(pathlib.Path('/proc/self/io').read_text().split()[1])


def _work(connection, way, trick, folder, batch_size, workers) -> None:
  """A process: makes as many batches as it is told; 0 ends it.

  Sends [clips, seconds, seconds of processors, bytes read] each time.
  """
  with tricks.WITHOUT[trick]():
    turn = getattr(loaders, way)(folder, batch_size, workers)
    while count := connection.recv():
      before = [0, time.perf_counter(), time.process_time(), _read_bytes()]
      clips = sum(len(batch['visual']) for batch in turn(count))
      now = [clips, time.perf_counter(), time.process_time(), _read_bytes()]
      connection.send(np.subtract(now, before))


@contextlib.contextmanager
def _processes(count: int, *args) -> Iterator[Callable[[], np.ndarray]]:
  """Yields a function that has processes make batches and adds them up."""
  context = multiprocessing.get_context('spawn')
  started = []
  for _ in range(count):
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, *args))
    process.start()
    started.append((ours, process))

  def ask() -> np.ndarray:
    for ours, _ in started:
      ours.send(BATCHES // count)
    facts = np.stack([ours.recv() for ours, _ in started])
    return np.where([0, 1, 0, 0], facts.max(0), facts.sum(0))

  try:
    yield ask
  finally:
    for ours, process in started:
      ours.send(0)
      process.join()


def measure(rows: dict[str, tuple], rounds: int) -> None:
  """Prints a table, name -> arguments of `_processes`."""
  with contextlib.ExitStack() as stack:
    asks = {
      name: stack.enter_context(_processes(*args))
      for name, args in rows.items()
    }
    for ask in asks.values():
      ask()  # Threads and memory come into being.
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
  """Prints a table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--videos', type=int, default=64)
  parser.add_argument('--seconds', type=int, default=390)
  parser.add_argument('--rounds', type=int, default=9)
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
            'as it is',
            folder,
            size,
            workers,
          )
    measure(rows, options.rounds)


if __name__ == '__main__':
  main()
