"""Winograd convolution against the definition, and which layers use it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax.layers import winograd


def _naive(x, kernel):
  """Convolution by its definition, a loop over taps."""
  padded = np.pad(x, ((0, 0), (4, 4), (0, 0)))
  length = x.shape[1]
  return sum(padded[:, i : i + length] @ kernel[i] for i in range(9))


def _random(length, dtype):
  rng = np.random.default_rng(length)
  shapes = ((2, length, 5), (9, 5, 7), (2, length, 7))
  return [rng.normal(size=shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize('length', [1, 2, 3, 4, 17])
def test_minimal_filtering_is_convolution(length):
  with jax.enable_x64(True):
    x, kernel, gradient = _random(length, np.float64)
    y, transpose = jax.vjp(jax.jit(winograd.minimal), x, kernel)
    of_x, of_kernel = transpose(jnp.asarray(gradient))
  np.testing.assert_allclose(y, _naive(x, kernel), atol=1e-12)
  mirrored = kernel[::-1].swapaxes(1, 2)
  np.testing.assert_allclose(of_x, _naive(gradient, mirrored), atol=1e-12)
  padded = np.pad(x, ((0, 0), (4, 4), (0, 0)))
  for i in range(9):
    expected = np.einsum('ntc,ntd->cd', padded[:, i : i + length], gradient)
    np.testing.assert_allclose(of_kernel[i], expected, atol=1e-12)


def test_float32_is_close_enough():
  x, kernel, _ = _random(300, np.float32)
  expected = _naive(x.astype(np.float64), kernel.astype(np.float64))
  y = winograd.minimal(x, kernel)
  assert np.abs(y - expected).max() <= 5e-6 * np.abs(expected).max()


def _lowered(length, channels, dtype='float32', stride=1, batch=32):
  """Number of convolutions in the program lowered for a CPU."""
  x = jax.ShapeDtypeStruct((batch, length, channels), dtype)
  kernel = jax.ShapeDtypeStruct((9, channels, channels), dtype)
  text = jax.jit(
    lambda x, kernel: winograd.convolve(
      x,
      kernel,
      (stride,),
      ((4, 4),),
      dimension_numbers=('NWC', 'WIO', 'NWC'),
    )
  ).lower(x, kernel)
  return text.as_text().count('stablehlo.convolution')


def test_only_large_float32_layers_of_stride_1_use_it():
  assert _lowered(500, 128) == 5
  assert _lowered(63, 1024) == 5
  assert _lowered(12, 256) == 1
  assert _lowered(500, 128, 'bfloat16') == 1
  assert _lowered(500, 128, stride=2) == 1
  assert _lowered(500, 128, batch=8) == 1
