"""Winograd convolution over time F(3, 3): fewer products for wide CPU layers.

Winograd's minimal filtering, as Lavin and Gray (2016) use it for networks, in
one dimension: three outputs of a filter of three taps need five products
instead of nine. A filter of nine taps is three such filters, each three frames
later than the one before, so they share the transformed input: tile i of
filter g is tile i + g. What remains are five convolutions of width three over
a third of the frames, 5 / 9 of the products. The gradient of the input is such
a convolution too; the gradient of the kernel is computed directly. On a GPU
the vendor's own convolutions are used.
"""

from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp

from avl_jax.layers import convolution

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
# Smallest input of an example, in values, for which it is faster. Each layer of
# the full-size model has 64,000 or more for a clip of 10 s.
_SMALLEST = 60_000
# Smallest batch for which it is faster: the kernel is transformed once a batch.
_FEWEST = 16


def convolve(
  x: jax.Array,
  kernel: jax.Array,
  window_strides: Sequence[int],
  padding: Sequence[tuple[int, int]],
  **options: Any,
) -> jax.Array:
  """Convolves in layouts 'NWC' and 'WIO', as `conv_general_dilated` of nn.Conv.

  On a CPU, large float32 layers of width 9 and stride 1 use `minimal`; all
  others use `convolution.convolve`.

  Args:
    x: [N, T, C].
    kernel: [W, C, D].
    window_strides: (stride,).
    padding: ((before, after),).
    **options: what else Flax gives to `jax.lax.conv_general_dilated`.

  Returns:
    [N, T', D].

  Raises:
    ValueError: there is a dilation, or there are groups.
  """
  ones = {'lhs_dilation': (1,), 'rhs_dilation': (1,), 'feature_group_count': 1}
  if any(options.get(name, one) != one for name, one in ones.items()):
    raise ValueError(
      f'The options are {options}. Expected no dilation, no groups.'
    )
  (stride,), (around,) = window_strides, padding

  def direct(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return convolution.convolve(x, kernel, stride, tuple(around))

  is_same = stride == 1 and tuple(around) == (4, 4)
  is_large = len(x) >= _FEWEST and x.size >= _SMALLEST * len(x)
  if not (is_same and is_large and len(kernel) == 9 and x.dtype == jnp.float32):
    return direct(x, kernel)
  return jax.lax.platform_dependent(x, kernel, cpu=minimal, default=direct)


@jax.custom_vjp
def minimal(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolves with width 9, stride 1 and padding (4, 4), by F(3, 3).

  Args:
    x: [N, T, C].
    kernel: [9, C, D].

  Returns:
    [N, T, D]; in float32 within about 5e-6 of the largest value. Only
    reverse-mode gradients are defined.
  """
  batch, length, channels = x.shape
  tiles = -(-length // 3)
  # Frames in threes; tile i starts at frame 3 i and has five frames.
  padded = jnp.pad(x, ((0, 0), (4, 3 * tiles + 5 - length), (0, 0)))
  threes = padded.reshape(batch, tiles + 3, 3, channels)
  frames = [threes[:, :-1, i] for i in range(3)]
  frames += [threes[:, 1:, i] for i in range(2)]
  taps = kernel.reshape(3, 3, *kernel.shape[1:])  # filter, tap
  taps = [taps[:, i] for i in range(3)]
  products = [
    convolution.convolve(_mix(b, frames), _mix(g, taps), 1, (0, 0))
    for b, g in zip(_B, _G, strict=True)
  ]
  y = jnp.stack([_mix(a, products) for a in _A], 2)
  return y.reshape(batch, 3 * tiles, -1)[:, :length]


def _forward(x, kernel):
  return minimal(x, kernel), (x, kernel)


def _backward(inputs, gradient):
  x, kernel = inputs
  flipped = jnp.flip(kernel, 0).swapaxes(1, 2)  # [9, D, C]
  of_kernel = convolution.gradient_of_kernel(x, gradient, 9, 1, (4, 4))
  return minimal(gradient, flipped), of_kernel


minimal.defvjp(_forward, _backward)


def _mix(row: Sequence[float], arrays: Sequence[jax.Array]) -> jax.Array:
  """Sum of the arrays, weighted by the row."""
  terms = (c * x for c, x in zip(row, arrays, strict=True) if c)
  return cast(jax.Array, sum(terms))
