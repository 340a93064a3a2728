"""Convolution over time with fewer products, for wide layers on a CPU.

Winograd's minimal filtering F(3, 3), as Lavin and Gray (2016) use it for
networks, in one dimension: three outputs of a filter of three taps are made
of five products instead of nine. A filter of nine taps is three such filters,
each three frames later than the one before, so that they share the
transformed input: tile i of filter g is tile i + g. What remains are five
convolutions of width three over a third of the frames: 5 / 9 of the products.
The gradient of the input is such a convolution too; the kernel's is direct.
On a GPU the vendor's own convolutions are used.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

# Toom-Cook at 0, 1, -1, 2 and infinity: y = A ((G g) * (B x)), x of 5, g of 3.
_B = (
  (2, -1, -2, 1, 0),
  (0, -2, -1, 1, 0),
  (0, 2, -3, 1, 0),
  (0, -1, 0, 1, 0),
  (0, 2, -1, -2, 1),
)
_G = (
  (1 / 2, 0, 0),
  (-1 / 2, -1 / 2, -1 / 2),
  (-1 / 6, 1 / 6, -1 / 6),
  (1 / 6, 1 / 3, 2 / 3),
  (0, 0, 1),
)
_A = ((1, 1, 1, 1, 0), (0, 1, -1, 2, 0), (0, 1, 1, 4, 1))
# Values of an example's input from which it pays: each layer of the full-size
# model has 64,000 or more for a clip of 10 s; and examples: fewer do not make
# up for transforming the kernel.
_SMALLEST, _FEWEST = 60_000, 16


def convolve(
  x: jax.Array,
  kernel: jax.Array,
  window_strides: Sequence[int],
  padding: Sequence[tuple[int, int]],
  **options,
) -> jax.Array:
  """`jax.lax.conv_general_dilated` in layouts 'NWC' and 'WIO', for `nn.Conv`.

  On a CPU, large float32 layers of width 9 and stride 1 go through `minimal`.

  Args:
    x: [N, T, C].
    kernel: [W, C, D].
    window_strides: one number.
    padding: one pair.
    **options: the others that Flax passes on; no dilation, no groups.

  Returns:
    [N, T', D].
  """
  direct = functools.partial(
    jax.lax.conv_general_dilated,
    window_strides=window_strides,
    padding=padding,
    **options,
  )
  is_same = window_strides == (1,) and tuple(padding) == ((4, 4),)
  is_large = len(x) >= _FEWEST and x.size >= _SMALLEST * len(x)
  if not (is_same and is_large and len(kernel) == 9 and x.dtype == jnp.float32):
    return direct(x, kernel)
  return jax.lax.platform_dependent(x, kernel, cpu=minimal, default=direct)


@jax.custom_vjp
def minimal(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolution of width 9 and stride 1, padded by (4, 4), by F(3, 3).

  Args:
    x: [N, T, C].
    kernel: [9, C, D].

  Returns:
    [N, T, D]; in float32 within about 5e-6 of the largest value. Gradients
    are those of reverse mode alone.
  """
  batch, length, channels = x.shape
  tiles = -(-length // 3)
  # Frames in threes; tile i begins at 3 i and reaches two frames further.
  padded = jnp.pad(x, ((0, 0), (4, 3 * tiles + 5 - length), (0, 0)))
  threes = padded.reshape(batch, tiles + 3, 3, channels)
  frames = [threes[:, :-1, i] for i in range(3)]
  frames += [threes[:, 1:, i] for i in range(2)]
  taps = kernel.reshape(3, 3, *kernel.shape[1:])  # filter, tap
  taps = [taps[:, i] for i in range(3)]
  products = [
    _direct(_mix(b, frames), _mix(g, taps), 0)
    for b, g in zip(_B, _G, strict=True)
  ]
  y = jnp.stack([_mix(a, products) for a in _A], 2)
  return y.reshape(batch, 3 * tiles, -1)[:, :length]


def _forward(x, kernel):
  return minimal(x, kernel), (x, kernel)


def _backward(inputs, gradient):
  x, kernel = inputs
  (of_kernel,) = jax.linear_transpose(lambda w: _direct(x, w, 4), kernel)(
    gradient
  )
  return minimal(gradient, jnp.flip(kernel, 0).swapaxes(1, 2)), of_kernel


minimal.defvjp(_forward, _backward)


def _mix(row: Sequence[float], arrays: Sequence[jax.Array]) -> jax.Array:
  """Sum of the arrays, each as often as the row says."""
  return sum(c * x for c, x in zip(row, arrays, strict=True) if c)


def _direct(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
  return jax.lax.conv_general_dilated(
    x, kernel, (1,), ((padding,) * 2,), dimension_numbers=('NWC', 'WIO', 'NWC')
  )
