"""Speed of the full-size model's training step, in clips per second.

  python -m benchmarks.train_step
  python -m benchmarks.train_step --batch_sizes 256 1024 4096 --steps 10 \
    --dtypes bfloat16 --remat --peak 989

A step is forward, Masked Margin Softmax, backward and Adam, on clips of 10 s
(1000 frames), visual features and embeddings of 4096. Ours runs as in
training, on all devices. If PyTorch is installed, two PyTorch twins of the
release's structure with the same weights are measured too (`twins.py`), on one
GPU or on all cores: one with 2-D convolutions as in the release, one with 1-D
convolutions; bfloat16 is by autocast. `--twins` also has them compiled by
`torch.compile`. Each model runs in a process of its own, so its peak memory is
its own. The processes take turns, a round each, while the others wait. The
first step of a turn does not count: systems take memory from who waits.
"""

import argparse
import contextlib
import itertools
import statistics
import tempfile
from collections.abc import Iterator

import numpy as np

from benchmarks.workers import EAGER, OURS, TWINS, worker

GFLOP_PER_CLIP = 23.7  # forward and backward; a multiply-add is two
COLUMNS = (
  *('', 'type', 'batch', 'clips/s', 'slowest to fastest', 'ratio', 'GFLOP/s'),
  *('of peak', 'GiB', 'compiling, s', 'cached, s', 'loss'),
)


def measure(options: argparse.Namespace) -> dict[str, dict]:
  """Measures our model and the twins.

  Returns:
    Name -> facts, of those that could be measured.
  """
  twins = options.twins if options.structure == 'release' else ()
  names = (OURS, *twins)
  with contextlib.ExitStack() as stack:
    asks, facts = {}, {}
    for name in names:
      ask, fact = stack.enter_context(worker(name, options))
      if 'missing' in fact:
        print(f'Skipped {name}: {fact["missing"]}.')
        continue
      asks[name], facts[name] = ask, {**fact, 'measured': []}
      if name == OURS:
        with worker(name, options) as (_, again):
          if 'first' in again:  # Two at once may not fit into memory.
            facts[name]['again'] = again['first']
    for _ in range(options.rounds):
      for name, ask in asks.items():
        ask(1)
        facts[name]['measured'].append(ask(options.steps))
  return facts


def check(facts: dict[str, dict], dtype: str) -> None:
  """Raises AssertionError unless all models compute the same loss."""
  losses = [fact['loss'] for fact in facts.values()]
  assert len({fact['parameters'] for fact in facts.values()}) <= 1, facts
  tolerance = 1e-3 if dtype == 'float32' else 0.05
  np.testing.assert_allclose(losses, losses[:1] * len(losses), tolerance)


def rows(
  facts: dict[str, dict], options: argparse.Namespace
) -> Iterator[tuple]:
  """Yields a row of `COLUMNS` per model; ratio: speed / first twin's speed."""
  speeds = {
    name: [options.batch_size / seconds for seconds, _ in fact['measured']]
    for name, fact in facts.items()
  }
  reference = speeds.get(next(iter(EAGER)))
  for name, fact in facts.items():
    speed = statistics.median(speeds[name])
    gflops = speed * GFLOP_PER_CLIP
    step = options.batch_size / speed
    yield (
      name + (', remat' if options.remat and name == OURS else ''),
      options.dtype,
      options.batch_size,
      f'{speed:.2f}',
      f'{min(speeds[name]):.2f} to {max(speeds[name]):.2f}',
      f'{speed / statistics.median(reference):.2f}' if reference else '',
      f'{gflops:.0f}',
      f'{gflops / options.peak / 1000:.0%}' if options.peak else '',
      f'{max(memory for _, memory in fact["measured"]) / 2**30:.1f}',
      f'{fact["first"] - step:.1f}' if 'again' in fact else '',
      f'{fact["again"] - step:.1f}' if 'again' in fact else '',
      f'{fact["loss"]:.4f}',
    )


def main() -> None:
  """Measures all types and batch sizes, and prints a table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('--batch_sizes', type=int, nargs='+', default=[32])
  add('--dtypes', nargs='+', default=['float32', 'bfloat16'])
  add('--structure', choices=('release', 'thesis'), default='release')
  add('--twins', choices=TWINS, nargs='*', default=list(EAGER))
  add('--remat', action='store_true', help='recompute each block backwards')
  add('--rounds', type=int, default=5)
  add('--steps', type=int, default=1, help='of a round')
  add('--peak', type=float, help="the device's TFLOP/s in that type")
  options = parser.parse_args()
  for line in (COLUMNS, ['---'] * len(COLUMNS)):
    print('|', ' | '.join(line), '|', flush=True)
  for dtype, size in itertools.product(options.dtypes, options.batch_sizes):
    with tempfile.TemporaryDirectory() as folder:
      case = argparse.Namespace(
        **vars(options), dtype=dtype, batch_size=size, folder=folder, sizes={}
      )
      facts = measure(case)
    check(facts, dtype)
    for line in rows(facts, case):
      print('|', ' | '.join(map(str, line)), '|', flush=True)
  devices = (f'{name}: {fact["device"]}' for name, fact in facts.items())
  print('\n' + '; '.join(devices))


if __name__ == '__main__':
  main()
