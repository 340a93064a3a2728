"""Self-test: plain and jitted arithmetic, products, a convolution."""

import functools
import importlib.metadata
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu.parts import Sizes

TOLERANCE = {'float32': 1e-5, 'bfloat16': 2e-2}  # of the largest value
PAD, STRIDE = 4, 2  # of a kernel of 9, as in the model


def compare(actual: object, expected: np.ndarray, tolerance: float) -> dict:
  """A row: the largest difference, as a part of the largest value."""
  actual = np.asarray(actual, np.float64)
  scale = np.abs(expected).max()
  error = float(np.abs(actual - expected).max() / (scale or 1))
  return {
    'difference': f'{error:.1e}',
    'allowed': f'{tolerance:.0e}',
    # Not `error > tolerance`: NaN is wrong.
    'result': 'right' if error <= tolerance else 'WRONG',
  }


def device() -> dict:
  """The devices and the versions."""
  names = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'torch')
  versions = []
  for name in names:
    try:
      versions.append(f'{name} {importlib.metadata.version(name)}')
    except importlib.metadata.PackageNotFoundError:
      versions.append(f'no {name}')
  devices = jax.devices()
  found = f'{len(devices)} x {devices[0].device_kind}'
  return {'result': f'{found}: {", ".join(versions)}'}


def _functions(x: jax.Array) -> list[jax.Array]:
  return [jnp.sqrt(x), x + 1, jnp.exp(-x), x / 3, jnp.tanh(x), x.sum(), x * x]


def arithmetic(jitted: bool) -> dict:
  """Functions of a vector, one kernel each or in one program."""
  x = np.linspace(0.5, 512, 1000, dtype=np.float32)
  wide = x.astype(np.float64)
  expected = [np.sqrt(wide), wide + 1, np.exp(-wide), wide / 3, np.tanh(wide)]
  expected += [wide.sum(), wide * wide]
  function = jax.jit(_functions) if jitted else _functions
  errors = [
    np.abs(np.asarray(a, np.float64) - b).max() / np.abs(b).max()
    for a, b in zip(function(jnp.asarray(x)), expected, strict=True)
  ]
  return compare(errors, np.zeros(1), 1e-6)


def product(dtype: str) -> dict:
  """A product of [300, 700] and [700, 500]."""
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(300, 700)), dtype)
  y = jnp.asarray(rng.normal(size=(700, 500)), dtype)
  expected = np.asarray(x, np.float64) @ np.asarray(y, np.float64)
  actual = jnp.matmul(x, y, precision='highest')
  return compare(actual, expected, TOLERANCE[dtype])


def _convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (STRIDE,),
    [(PAD, PAD)],
    dimension_numbers=('NWC', 'WIO', 'NWC'),
    precision='highest',
  )


def convolution(dtype: str) -> list[dict]:
  """A convolution [4, 64, 32] -> [4, 32, 48] and both its gradients."""
  rng = np.random.default_rng(0)
  shapes = (4, 64, 32), (9, 32, 48), (4, 32, 48)
  x, kernel, cotangent = (
    jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes
  )
  result, pull = jax.vjp(jax.jit(_convolve), x, kernel)
  by_x, by_kernel = pull(cotangent)
  wide, taps, slopes = (
    np.asarray(array, np.float64) for array in (x, kernel, cotangent)
  )
  padded = np.pad(wide, ((0, 0), (PAD, PAD), (0, 0)))
  windows = np.lib.stride_tricks.sliding_window_view(padded, len(taps), 1)
  windows = windows[:, ::STRIDE]  # [4, 32, channels, 9]
  back = np.zeros_like(padded)
  for i, tap in enumerate(taps):
    end = i + STRIDE * slopes.shape[1]
    back[:, i:end:STRIDE] += slopes @ tap.T
  expected = {
    'result': (result, np.einsum('ntck,kco->nto', windows, taps)),
    'gradient of the input': (by_x, back[:, PAD:-PAD]),
    'gradient of the kernel': (
      by_kernel,
      np.einsum('ntck,nto->kco', windows, slopes),
    ),
  }
  return [
    {'what': what, **compare(*pair, TOLERANCE[dtype])}
    for what, pair in expected.items()
  ]


def cases(sizes: Sizes) -> dict[str, Callable]:
  """All of the self-test; it has one size."""
  del sizes
  found: dict[str, Callable] = {
    'device': device,
    'arithmetic, a kernel each': functools.partial(arithmetic, False),
    'arithmetic, one program': functools.partial(arithmetic, True),
  }
  for dtype in TOLERANCE:
    found[f'product, {dtype}'] = functools.partial(product, dtype)
    found[f'convolution, {dtype}'] = functools.partial(convolution, dtype)
  return found
