"""Convolution against its definition, its gradients against JAX's own."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax.layers import convolution

LAYOUT = ('NWC', 'WIO', 'NWC')


def _own(x, kernel, stride, padding):
  return jax.lax.conv_general_dilated(
    x, kernel, (stride,), (padding,), dimension_numbers=LAYOUT
  )


def _arrays(length, width, stride, padding, dtype):
  rng = np.random.default_rng(length)
  frames = (length + sum(padding) - width) // stride + 1
  shapes = (3, length, 5), (width, 5, 7), (3, frames, 7)
  return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


def _gradients(function, x, kernel, gradient):
  return jax.jit(lambda *a: jax.vjp(function, *a[:2])[1](a[2]))(
    x, kernel, gradient
  )


@pytest.mark.parametrize(
  ('length', 'width', 'stride', 'padding'),
  [
    (1, 9, 1, (4, 4)),
    (17, 9, 1, (4, 4)),
    (16, 9, 2, (4, 4)),
    (17, 9, 2, (4, 4)),
    (20, 3, 1, (0, 0)),
    (20, 4, 3, (1, 2)),
    (6, 3, 2, (0, 0)),
    (9, 3, 1, (4, 5)),
  ],
)
def test_gradients_are_those_of_jax(length, width, stride, padding):
  with jax.enable_x64(True):
    x, kernel, gradient = _arrays(length, width, stride, padding, 'float64')
    ours, theirs = (
      lambda x, w, function=function: function(x, w, stride, padding)
      for function in (convolution.convolve, _own)
    )
    np.testing.assert_array_equal(ours(x, kernel), theirs(x, kernel))
    pairs = zip(
      _gradients(ours, x, kernel, gradient),
      _gradients(theirs, x, kernel, gradient),
      strict=True,
    )
    for actual, expected in pairs:
      np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('stride', [1, 2])
def test_all_are_in_the_layout_of_fast_kernels(stride):
  """XLA rewrites no other outside of the program's entry, on CPUs."""
  arrays = _arrays(16, 9, stride, (4, 4), 'float32')
  text = (
    jax.jit(
      lambda x, kernel, gradient: jax.vjp(
        lambda x, w: convolution.convolve(x, w, stride, (4, 4)), x, kernel
      )[1](gradient)
    )
    .lower(*arrays)
    .as_text()
  )
  layouts = re.findall(r'dim_numbers = (\[.*?\]x\[.*?\]->\[.*?\])', text)
  assert layouts == ['[b, 0, f]x[0, i, o]->[b, 0, f]'] * 2
  assert 'rhs_reversal = true' not in text
