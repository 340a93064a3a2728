"""Speed of XLA's convolution and matrix product in float32 and bfloat16.

  python -m benchmarks.bfloat16
  python -m benchmarks.bfloat16 --flags='--xla_cpu_use_onednn=true
    --xla_cpu_experimental_onednn_custom_call=true'

The convolution is that of the third stage of the full-size model for 16 clips
of 10 s. Of a processor's time, which other programs on the machine do not
change much. Says which library of XLA's computes it, if one does.
"""

import argparse
import os
import time

import numpy as np

N, T, C, WIDTH = 16, 125, 512, 9
ROWS, INNER, COLUMNS = 2000, 2048, 1024
LIBRARIES = ('onednn', 'ynn', 'xnn')


def _cases() -> dict[str, tuple]:
  """Name -> (function of two arrays, their shapes, products)."""
  import jax
  import jax.numpy as jnp

  def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    names = ('NWC', 'WIO', 'NWC')
    return jax.lax.conv_general_dilated(
      x, kernel, (1,), ((4, 4),), dimension_numbers=names
    )

  return {
    'convolution': (
      convolve,
      ((N, T, C), (WIDTH, C, C)),
      N * T * C * C * WIDTH,
    ),
    'product': (
      jnp.matmul,
      ((ROWS, INNER), (INNER, COLUMNS)),
      ROWS * INNER * COLUMNS,
    ),
  }


def main() -> None:
  """Prints a table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument(
    '--flags', default='', help='of XLA; else XLA_FLAGS has them'
  )
  parser.add_argument('--rounds', type=int, default=5)
  options = parser.parse_args()
  if options.flags:
    os.environ['XLA_FLAGS'] = options.flags
  import jax

  print('| | type | GFLOP/s of a processor second | library |')
  print('| --- | --- | --- | --- |')
  rng = np.random.default_rng(0)
  for name, (function, shapes, products) in _cases().items():
    for dtype in ('float32', 'bfloat16'):
      arrays = [
        jax.numpy.asarray(rng.normal(size=shape), dtype) for shape in shapes
      ]
      compiled = jax.jit(function).lower(*arrays).compile()
      jax.block_until_ready(compiled(*arrays))
      best = float('inf')
      for _ in range(options.rounds):
        start = time.process_time()
        jax.block_until_ready(compiled(*arrays))
        best = min(best, time.process_time() - start)
      text = compiled.as_text()
      used = [each for each in LIBRARIES if f'__{each}' in text]
      speed = 2 * products / best / 1e9
      print(f'| {name} | {dtype} | {speed:.0f} | {"".join(used)} |', flush=True)
  print(f'\njax {jax.__version__}, {os.environ.get("XLA_FLAGS") or "no flags"}')


if __name__ == '__main__':
  main()
