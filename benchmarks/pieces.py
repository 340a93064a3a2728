"""Cost in time and memory of a batch in pieces, beside the plain step.

  python -m benchmarks.pieces
  python -m benchmarks.pieces --model full --sizes 1024 --pairs 16384 \
    --pieces 16 --dtype bfloat16

The small model is that of configs/stamps.py, with clips of 1.92 s; the full one
that of configs/avlnet.py, with clips of 10 s. Plain steps have `sizes` pairs,
the step in pieces `pairs`. Each runs in a process of its own, so its peak
memory is its own: that of the devices, on a CPU that of the process. The
processes take turns, a round each.
"""

import argparse
import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks import workers

MODELS = {  # -> arguments of AVLnet, frames, width of the visual features
  'small': (
    {'embed_dim': 512, 'widths': (32, 32, 64, 128, 256), 'pooling': 'masked'},
    192,
    1280,
  ),
  'full': ({}, 1000, 4096),
}
COLUMNS = (
  *('pairs', 'pieces', 'clips/s', 'slowest to fastest', 'ratio of the time'),
  *(
    'processor ms a clip',
    'ratio',
    'peak GiB',
    'XLA GiB',
    'batch and embeddings GiB',
    'loss',
  ),
)


def _make(options: argparse.Namespace, pairs: int, pieces: int) -> tuple:
  """Returns (step() -> loss, bytes that XLA plans, device)."""
  os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  from avl_jax import compilation, parallel
  from avl_jax.models import avlnet
  from avl_jax.train import optimizer as optimizers
  from avl_jax.train import step as training_step

  compilation.avoid_triton()
  arguments, frames, visual = MODELS[options.model]
  rng = np.random.default_rng(0)
  batch = {
    'spectrogram': rng.normal(-40, 15, (pairs, frames, 40)).astype('f4'),
    'num_frames': np.full(pairs, frames, np.int32),
    'visual': rng.normal(0, visual**-0.5, (pairs, visual)).astype('f4'),
  }
  network = avlnet.AVLnet(**arguments, dtype=options.dtype)
  optimizer = optimizers.make_optimizer(learning_rate=1e-3)
  variables = avlnet.init_variables(network, visual)
  state = training_step.create_state(variables, optimizer)
  step = parallel.pmap_step(
    training_step.make_step(
      network,
      optimizer,
      pairs=(('audio', 'video'),),
      pieces=pieces,
      score_rows=options.score_rows if pieces > 1 else 0,
    )
  )
  (on_devices,) = parallel.prefetch([batch])
  del batch
  compiled = step.lower(state, on_devices).compile()
  planned = compiled.memory_analysis().temp_size_in_bytes

  def run() -> float:
    nonlocal state
    state, metrics = compiled(state, on_devices)
    return float(metrics['loss'])

  device = parallel.devices()[0]
  return run, planned, f'{len(parallel.devices())} x {device.device_kind}'


def _work(connection, *arguments) -> None:
  """Runs in a process: sends the facts, then a round when asked.

  A round is seconds, seconds of the processor, and peak bytes.
  """
  run, planned, device = _make(*arguments)
  connection.send({'loss': run(), 'planned': planned, 'device': device})
  while connection.recv():
    start, busy = time.perf_counter(), time.process_time()
    run()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    connection.send((seconds, busy, workers.peak_bytes()))


@contextlib.contextmanager
def worker(*arguments) -> Iterator[tuple[Callable, dict]]:
  """Starts a process; yields (ask() -> a round, its facts)."""
  process, ours = workers.spawn(_work, *arguments)

  def ask() -> tuple[float, float, int]:
    ours.send(True)
    return ours.recv()

  try:
    yield ask, ours.recv()
  finally:
    with contextlib.suppress(OSError):  # It ended by itself.
      ours.send(False)
    process.join()


def rows(
  measured: dict[tuple, list], facts: dict[tuple, dict], model: str
) -> Iterator[tuple]:
  """Yields a row of `COLUMNS` per (pairs, pieces); ratios: to the first."""
  arguments, frames, visual = MODELS[model]
  width = 40 * frames + visual + 2 * arguments.get('embed_dim', 4096)
  speeds = {
    case: [case[0] / seconds for seconds, _, _ in rounds]
    for case, rounds in measured.items()
  }
  busy = {
    case: statistics.median(busy for _, busy, _ in rounds) / case[0]
    for case, rounds in measured.items()
  }
  first = next(iter(measured))
  for case, rounds in measured.items():
    speed = statistics.median(speeds[case])
    yield (
      *case,
      f'{speed:.1f}',
      f'{min(speeds[case]):.1f} to {max(speeds[case]):.1f}',
      f'{statistics.median(speeds[first]) / speed:.2f}',
      f'{1000 * busy[case]:.2f}',
      f'{busy[case] / busy[first]:.2f}',
      f'{max(peak for *_, peak in rounds) / 2**30:.2f}',
      f'{facts[case]["planned"] / 2**30:.2f}',
      f'{4 * width * case[0] / 2**30:.2f}',
      f'{facts[case]["loss"]:.4f}',
    )


def main() -> None:
  """Measures the plain steps and the one in pieces, and prints a table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('--model', choices=MODELS, default='small')
  add('--sizes', type=int, nargs='+', default=[128], help='of plain steps')
  add('--pairs', type=int, default=4096, help='of the step in pieces')
  add('--pieces', type=int, default=32)
  add('--score_rows', type=int, default=256)
  add('--dtype', default='float32')
  add('--rounds', type=int, default=3)
  options = parser.parse_args()
  cases = [(size, 1) for size in options.sizes]
  cases.append((options.pairs, options.pieces))
  for line in (COLUMNS, ['---'] * len(COLUMNS)):
    print('|', ' | '.join(line), '|', flush=True)
  with contextlib.ExitStack() as stack:
    started = {
      case: stack.enter_context(worker(options, *case)) for case in cases
    }
    measured = {case: [] for case in cases}
    for _ in range(options.rounds):
      for case, (ask, _) in started.items():
        measured[case].append(ask())
    device = next(iter(started.values()))[1]['device']
  facts = {case: fact for case, (_, fact) in started.items()}
  for line in rows(measured, facts, options.model):
    print('|', ' | '.join(map(str, line)), '|', flush=True)
  print('\n' + device)


if __name__ == '__main__':
  main()
