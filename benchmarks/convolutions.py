"""Speed of several formulations of ResDAVEnet's convolutions.

  python -m benchmarks.convolutions --batch_size 32

Prints, for each layer shape and summed over the network's layers, milliseconds
of the forward pass / of forward and backward (gradients of input and kernel).
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from avl_jax import compilation
from avl_jax.layers import winograd
from benchmarks.full_size import FRAMES

KERNEL = 9


def nwc(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """As `nn.Conv` computes it: [N, T, C] and [9, C, D]."""
  return _conv(x, kernel, (stride,), ('NWC', 'WIO', 'NWC'))


def nhwc(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """As a two-dimensional convolution of height one."""
  dimensions = ('NHWC', 'HWIO', 'NHWC')
  return _conv(x[:, None], kernel[None], (1, stride), dimensions)[:, 0]


def ncw(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """In PyTorch's layout; the time includes the transposes."""
  y = _conv(
    x.swapaxes(1, 2),
    kernel.transpose(2, 1, 0),
    (stride,),
    ('NCW', 'OIW', 'NCW'),
  )
  return y.swapaxes(1, 2)


def im2col(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """Nine shifted copies side by side, [N, T', 9 C], and one matrix product."""
  patches = jnp.concatenate(_shifted(x, stride), -1)
  return patches @ kernel.reshape(-1, kernel.shape[-1])


def shifts(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """Sum of nine matrix products of shifted inputs."""
  pairs = zip(_shifted(x, stride), kernel, strict=True)
  return sum(part @ tap for part, tap in pairs)


def mixed(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """Forward pass as `nwc`, backward pass as `im2col`."""

  @jax.custom_vjp
  def call(x, kernel):
    return nwc(x, kernel, stride)

  def backward(saved, dy):
    _, pull = jax.vjp(functools.partial(im2col, stride=stride), *saved)
    return pull(dy)

  call.defvjp(lambda x, kernel: (call(x, kernel), (x, kernel)), backward)
  return call(x, kernel)


def minimal(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """Winograd's F(3, 3), the model's choice on a CPU; `nwc` if strided."""
  if stride == 1:
    return winograd.minimal(x, kernel)
  return nwc(x, kernel, stride)


FORMULATIONS = (nwc, nhwc, ncw, im2col, shifts, mixed, minimal)


def _conv(x, kernel, strides, dimensions):
  pad = KERNEL // 2
  padding = ((0, 0),) * (len(strides) - 1) + ((pad, pad),)
  return jax.lax.conv_general_dilated(
    x, kernel, strides, padding, dimension_numbers=dimensions
  )


def _shifted(x, stride):
  length, pad = x.shape[1], KERNEL // 2
  x = jnp.pad(x, ((0, 0), (pad, pad), (0, 0)))
  return [x[:, i : i + length : stride] for i in range(KERNEL)]


def layers() -> list[tuple[tuple[int, int, int, int], int]]:
  """Layers of the network: ((frames, inputs, outputs, stride), count)."""
  result, frames, inputs = [], FRAMES, 128
  for width in (128, 256, 512, 1024):
    result.append(((frames, inputs, width, 2), 1))
    frames, inputs = -(-frames // 2), width
    result.append(((frames, width, width, 1), 3))
  return result


def measure(formulation: Callable, layer: tuple, size: int, dtype) -> tuple:
  """Median seconds of (forward, forward and backward)."""
  frames, inputs, outputs, stride = layer
  keys = jax.random.split(jax.random.key(0), 3)
  x = jax.random.normal(keys[0], (size, frames, inputs), dtype)
  kernel = jax.random.normal(keys[1], (KERNEL, inputs, outputs), dtype)
  dy = jax.random.normal(keys[2], (size, -(-frames // stride), outputs), dtype)
  function = functools.partial(formulation, stride=stride)

  def both(x, kernel, dy):
    y, pull = jax.vjp(function, x, kernel)
    return y, pull(dy)

  return (
    _seconds(jax.jit(function), x, kernel),
    _seconds(jax.jit(both), x, kernel, dy),
  )


def _seconds(function, *args):
  times = []
  for _ in range(4):
    start = time.perf_counter()
    jax.block_until_ready(function(*args))
    times.append(time.perf_counter() - start)
  return statistics.median(times[1:])  # The first compiles.


def main() -> None:
  """Prints a table for each type."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--batch_size', type=int, default=32)
  parser.add_argument('--dtypes', nargs='+', default=['float32', 'bfloat16'])
  options = parser.parse_args()
  compilation.avoid_triton()
  names = [formulation.__name__ for formulation in FORMULATIONS]
  for dtype in options.dtypes:
    print(f'\n{dtype}, batch {options.batch_size}, {jax.devices()[0]}\n')
    print('| frames, in, out, stride | layers |', ' | '.join(names), '|')
    print('| --- ' * (2 + len(names)) + '|')
    totals = {name: [0.0, 0.0] for name in names}
    for layer, count in layers():
      cells = []
      for formulation in FORMULATIONS:
        pair = measure(formulation, layer, options.batch_size, dtype)
        cells.append(' / '.join(f'{1e3 * seconds:.0f}' for seconds in pair))
        total = totals[formulation.__name__]
        total[:] = [a + count * b for a, b in zip(total, pair, strict=True)]
      print('|', layer, '|', count, '|', ' | '.join(cells), '|', flush=True)
    cells = [f'{1e3 * a:.0f} / {1e3 * b:.0f}' for a, b in totals.values()]
    print('| all | |', ' | '.join(cells), '|')


if __name__ == '__main__':
  main()
