"""Small programs for wrong results and aborts on GPUs of which trackers tell.

Names of cases say where: `jax 40633` is issue 40633 of jax-ml/jax, `xla` of
openxla/xla, `kUPS` of cusp-ai-oss/kUPS. What was mended long ago is here too,
because an old version may be installed.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu.arithmetic import compare
from benchmarks.gpu.parts import Sizes


def _equal(actual: object, expected: object) -> dict:
  """A row: whether arrays have the same numbers."""
  actual = np.asarray(actual)
  return {
    'result': 'right'
    if np.array_equal(actual, np.asarray(expected))
    else f'WRONG: {actual.ravel()[:4].tolist()}'
  }


def kernels_alone() -> dict:
  """0.11.0 and 0.11.1: operations outside jit read what others left."""
  key = jax.random.key(0)
  uniform = jax.random.uniform(key, (1000,))
  normal = jax.random.normal(key, (1000,))
  whole = jax.random.randint(key, (1000,), 0, 1000)
  return _equal(
    [
      float(jnp.sqrt(jnp.float32(1024))),
      *(jnp.ones(4) + 1).tolist(),
      bool(((uniform >= 0) & (uniform < 1)).all()),
      bool((jnp.abs(normal) < 9).all()) and 0.9 < float(normal.std()) < 1.1,
      bool(((whole >= 0) & (whole < 1000)).all()),
    ],
    [32, 2, 2, 2, 2, True, True, True],
  )


def scaled_bias_in_scan() -> dict:
  """A scan of x + h (a @ w + b) added b unscaled."""
  rng = np.random.default_rng(0)
  weights, bias, start = (
    rng.normal(size=shape).astype(np.float32)
    for shape in ((32, 32), (32,), (16, 32))
  )
  weights *= 0.05

  def step(x: jax.Array, _: None) -> tuple[jax.Array, None]:
    y = jnp.matmul(jnp.tanh(x), weights, precision='highest')
    return x + (y + bias) / 64, None

  actual, _ = jax.lax.scan(step, start, length=64)
  expected = start.astype(np.float64)
  for _ in range(64):
    expected = expected + (np.tanh(expected) @ weights + bias) / 64
  return compare(actual, expected, 1e-5)


def maximum_of_negative_zeros() -> dict:
  """The largest of 8,193 zeros with a sign was -inf."""
  return _equal(jnp.max(jnp.full(8193, -0.0)), 0.0)


def comparison_of_bytes() -> dict:
  """Jitted equality of int8 with a constant was false."""
  data = [1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0]

  @jax.jit
  def same(x: jax.Array) -> jax.Array:
    return (x == jnp.array([data, data], x.dtype)).all(-1)

  return _equal(same(jnp.int8(data)), [True, True])


def equal_rows() -> dict:
  """Sums and softmax of equal rows in bfloat16 differed."""
  rng = np.random.default_rng(0)
  row = jnp.asarray(rng.random((3, 177, 1765)), jnp.bfloat16)
  rows = jnp.repeat(row[:1], 8, 0)

  @jax.jit
  def both(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return x - x.sum(-1, keepdims=True), jax.nn.softmax(x, -1)

  return _equal([bool((y == y[0]).all()) for y in both(rows)], [True, True])


def inverse_of_a_permutation() -> dict:
  """Twice argsort, which XLA replaces by a scatter."""
  with jax.enable_x64(True):
    order = np.random.default_rng(0).permutation(1000)
    inverse = jax.jit(lambda x: jnp.argsort(jnp.argsort(x)))
    return _equal(inverse(jnp.asarray(order)), order)


def roll_in_64_bits() -> dict:
  """A jitted roll by a number that is an argument."""
  with jax.enable_x64(True):
    roll = jax.jit(jnp.roll)
    return _equal(roll(jnp.arange(16), 3), np.roll(np.arange(16), 3))


def products_in_scan() -> dict:
  """Associative scan of float64 products within a scan."""
  with jax.enable_x64(True):
    matrices = np.random.default_rng(0).normal(size=(4, 2, 2))

    def body(x: jax.Array, _: None) -> tuple[jax.Array, None]:
      return jax.lax.associative_scan(jnp.matmul, x), None

    actual, _ = jax.lax.scan(body, jnp.asarray(matrices), length=1)
    expected = [matrices[0]]
    for matrix in matrices[1:]:
      expected.append(expected[-1] @ matrix)
    return compare(actual, np.stack(expected), 1e-12)


def guarded_sum_of_exponentials() -> dict:
  """The compiler aborted in its search for the fastest kernels."""
  x = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
  x[3] = -np.inf
  expected = np.full(64, -np.inf)
  finite = np.arange(64) != 3
  expected[finite] = np.log(np.exp(x[finite].astype(np.float64)).sum(-1))
  actual = np.asarray(jax.jit(lambda x: jax.nn.logsumexp(x, -1))(x))
  if actual[3] != expected[3]:
    return {'result': f'WRONG: {actual[3]}'}
  return compare(actual[finite], expected[finite], 1e-6)


def product_of_every_second_frame() -> dict:
  """The compiler aborted where it merged both into a Triton kernel."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(4, 256, 128)).astype(np.float32)
  w = rng.normal(size=(128, 256)).astype(np.float32)
  product = jax.jit(lambda x, w: jnp.matmul(x[:, ::2], w, precision='highest'))
  return compare(product(x, w), x[:, ::2].astype(np.float64) @ w, 1e-5)


def many_sorts() -> dict:
  """Many compilations of argsort damaged the heap."""
  for length in range(16, 46):
    x = np.random.default_rng(length).permutation(length).astype(np.float32)
    order = jax.jit(jnp.argsort)(x)
    if not np.array_equal(order, np.argsort(x)):
      return {'result': f'WRONG for {length} items'}
  return {'result': 'right'}


def cases(sizes: Sizes) -> dict[str, Callable]:
  """All of them; they have one size. Those that aborted are last."""
  del sizes
  return {
    'kernels of one operation (jax 40633)': kernels_alone,
    'a scaled bias in a scan (jax 40362)': scaled_bias_in_scan,
    'maximum of -0.0 (xla 5544)': maximum_of_negative_zeros,
    'equality of int8 (xla 9431)': comparison_of_bytes,
    'equal rows, equal sums (jax 26836)': equal_rows,
    'inverse of a permutation (kUPS 186)': inverse_of_a_permutation,
    'roll in 64 bits (jax 13271)': roll_in_64_bits,
    'products in a scan (jax 21628)': products_in_scan,
    'guarded log of a sum (xla 43068)': guarded_sum_of_exponentials,
    'many sorts (jax 40142)': many_sorts,
    'every second frame, then a product (here)': product_of_every_second_frame,
  }
