"""Throughput of the thesis' visual networks: images and clips per second.

  python -m benchmarks.visual --batch_sizes 1 4 8

Weights are random. If PyTorch is installed, its own networks of the same
layers run too (`visual_twins.py`), in turns with ours. With --xla, the
3-D network is also timed with XLA's own convolutions of clips, which the
network replaces on a CPU.
The ratio is that of the processor time, on which other work has less influence.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from unittest import mock

import jax
import numpy as np

from avl_jax import compilation
from avl_jax.backbones import resnet, resnext3d
from avl_jax.backbones.compilation import compile_network

TWIN = 'PyTorch'


def ours(network, shape: tuple[int, ...]) -> tuple[Callable, int]:
  """Returns network(uint8 [N, *shape]) -> [N, 2048], and its parameters."""
  shapes = jax.eval_shape(
    functools.partial(network.init, train=False),
    jax.random.key(0),
    jax.ShapeDtypeStruct((1, *shape), np.uint8),
  )
  rng = np.random.default_rng(0)
  variables = {
    'params': jax.tree.map(
      lambda x: 0.05 * rng.standard_normal(x.shape, np.float32),
      shapes['params'],
    ),
    'batch_stats': jax.tree.map(
      lambda x: np.ones(x.shape, np.float32), shapes['batch_stats']
    ),
  }
  apply = compile_network('random weights', network, variables, has_grid=False)
  return (
    lambda inputs: np.asarray(apply(inputs)),
    sum(x.size for x in jax.tree.leaves(variables['params'])),
  )


def twin(axes: int) -> tuple[Callable, int] | None:
  """The same of PyTorch's network; None: it is not installed."""
  try:
    from benchmarks import visual_twins
  except ModuleNotFoundError:
    return None
  return visual_twins.make(axes)


def measure(
  title: str, networks: dict[str, tuple | None], inputs: np.ndarray, runs: int
) -> None:
  """Prints a row for each network, all on the same inputs in turns."""
  found = {name: pair for name, pair in networks.items() if pair}
  if len({parameters for _, parameters in found.values()}) > 1:
    raise ValueError(f'The networks differ in their parameters: {found}.')
  times = {name: [] for name in found}
  for run in range(runs + 1):  # The first compiles.
    for name, (network, _) in found.items():
      start, begun = time.perf_counter(), time.process_time()
      assert network(inputs).shape == (len(inputs), 2048)
      now = time.perf_counter() - start, time.process_time() - begun
      times[name] += [now] * (run > 0)
  medians = {
    name: [statistics.median(column) for column in zip(*each, strict=True)]
    for name, each in times.items()
  }
  for name, (wall, cpu) in medians.items():
    ratio = f'{medians[TWIN][1] / cpu:.2f}' if TWIN in medians else ''
    print(
      f'| {title} | {name} | {len(inputs)} | {len(inputs) / wall:.2f} | '
      f'{cpu / len(inputs):.2f} | {ratio} |',
      flush=True,
    )


def main() -> None:
  """Prints the throughput of each network."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--batch_sizes', type=int, nargs='+', default=[8])
  parser.add_argument('--runs', type=int, default=3)
  parser.add_argument(
    '--networks', nargs='+', choices=(2, 3), type=int, default=[2, 3]
  )
  parser.add_argument('--xla', action='store_true', help='see above')
  options = parser.parse_args()
  compilation.avoid_triton()
  print(f'{jax.devices()[0]}\n')
  print('| network | | batch | a second | processor s each | ratio |')
  print('| --- ' * 6 + '|')
  rng = np.random.default_rng(0)
  for size in options.batch_sizes:
    if 2 in options.networks:
      shape = (224, 298, 3)
      images = rng.integers(0, 256, (size, *shape), np.uint8)
      pair = {'avl-jax': ours(resnet.ResNet(), shape), TWIN: twin(2)}
      measure('ResNet-152, 224 x 298', pair, images, options.runs)
    if 3 in options.networks:
      clips = rng.integers(0, 256, (size, *resnext3d.CLIP), np.uint8)
      model = resnext3d.ResNeXt3D()
      found = {'avl-jax': ours(model, resnext3d.CLIP), TWIN: twin(3)}
      if options.xla:
        plain = jax.lax.conv_general_dilated
        with mock.patch.object(resnext3d, 'convolve', plain):
          other = ours(model, resnext3d.CLIP)
          other[0](clips)  # compiles
        found["avl-jax with XLA's convolutions"] = other
      measure('ResNeXt-101', found, clips, options.runs)


if __name__ == '__main__':
  main()
