"""Throughput of the thesis' visual networks: images and clips per second.

  python -m benchmarks.visual --batch_sizes 1 4 8

Weights are random. The 3-D network is also timed with XLA's own convolutions
of clips, which the network replaces on a CPU.
"""

import argparse
import functools
import statistics
import time
from unittest import mock

import jax
import numpy as np

from avl_jax.backbones import resnet, resnext3d


def seconds(network, variables, inputs: np.ndarray, runs: int) -> float:
  """Returns median seconds per batch, without the first, which compiles."""
  apply = jax.jit(functools.partial(network.apply, train=False))
  times = []
  for _ in range(runs + 1):
    start = time.perf_counter()
    jax.block_until_ready(apply(variables, inputs))
    times.append(time.perf_counter() - start)
  return statistics.median(times[1:])


def measure(title: str, network, shape: tuple, options) -> None:
  """Prints the throughput for each batch size."""
  inputs = np.random.default_rng(0).integers(
    0, 256, (max(options.batch_sizes), *shape), np.uint8
  )
  variables = jax.jit(functools.partial(network.init, train=False))(
    jax.random.key(0), inputs[:1]
  )
  for size in options.batch_sizes:
    each = seconds(network, variables, inputs[:size], options.runs) / size
    print(f'{title}, batch {size}: {1 / each:.2f} per second', flush=True)


def main() -> None:
  """Prints the throughput of each network."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--batch_sizes', type=int, nargs='+', default=[8])
  parser.add_argument('--runs', type=int, default=3)
  options = parser.parse_args()
  print(jax.devices()[0])
  measure('ResNet-152, 224 x 298', resnet.ResNet(), (224, 298, 3), options)
  clips = resnext3d.ResNeXt3D()
  measure('ResNeXt-101', clips, resnext3d.CLIP, options)
  with mock.patch.object(resnext3d, 'convolve', jax.lax.conv_general_dilated):
    measure("ResNeXt-101, XLA's", clips, resnext3d.CLIP, options)


if __name__ == '__main__':
  main()
