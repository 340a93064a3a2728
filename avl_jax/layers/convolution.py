"""Convolution over time, with gradients that CPUs compute fast in loops too.

Gradients of a convolution are convolutions of other layouts. XLA's compiler for
CPUs brings those into the layout of its fast kernels, but not in the bodies of
loops (`jax.lax.scan`), where a layer's took 35 and 100 times as long. So the
gradients are written in that layout here. On other devices they are JAX's own.
"""

import functools

import jax
import jax.numpy as jnp

Padding = tuple[int, int]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(
  x: jax.Array, kernel: jax.Array, stride: int, padding: Padding
) -> jax.Array:
  """Convolves over time; only reverse-mode gradients are defined.

  Args:
    x: [N, T, C].
    kernel: [W, C, D].
    stride: frames from one output to the next.
    padding: frames of zeros (before, after).

  Returns:
    [N, S, D].
  """
  return _convolve(x, kernel, stride, padding)


def gradient_of_input(
  gradient: jax.Array,
  kernel: jax.Array,
  length: int,
  stride: int,
  padding: Padding,
) -> jax.Array:
  """Gradient of `convolve`'s input [N, T, C].

  Args:
    gradient: of the result, [N, S, D].
    kernel: [W, C, D].
    length: T.
    stride: of the convolution.
    padding: of the convolution.
  """
  before = len(kernel) - 1 - padding[0]
  spread = (gradient.shape[1] - 1) * stride + 1
  after = length + len(kernel) - 1 - before - spread
  mirrored = jnp.flip(kernel, 0).swapaxes(1, 2)
  return _convolve(gradient, mirrored, 1, (before, after), spread=stride)


def gradient_of_kernel(
  x: jax.Array, gradient: jax.Array, width: int, stride: int, padding: Padding
) -> jax.Array:
  """Gradient of `convolve`'s kernel [W, C, D].

  Args:
    x: [N, T, C].
    gradient: of the result, [N, S, D].
    width: W.
    stride: of the convolution.
    padding: of the convolution.
  """
  frames = x.shape[1] + sum(padding)
  unused = frames - width - (gradient.shape[1] - 1) * stride
  taps = _convolve(
    x.transpose(2, 1, 0),
    gradient.swapaxes(0, 1),
    1,
    (padding[0], padding[1] - unused),
    dilation=stride,
  )
  return taps.swapaxes(0, 1)


def _convolve(x, kernel, stride, padding, spread=1, dilation=1):
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (stride,),
    (padding,),
    lhs_dilation=(spread,),
    rhs_dilation=(dilation,),
    dimension_numbers=('NWC', 'WIO', 'NWC'),
  )


def _forward(x, kernel, stride, padding):
  return _convolve(x, kernel, stride, padding), (x, kernel)


def _backward(stride, padding, inputs, gradient):
  def written(x, kernel, gradient):
    return (
      gradient_of_input(gradient, kernel, x.shape[1], stride, padding),
      gradient_of_kernel(x, gradient, len(kernel), stride, padding),
    )

  def derived(x, kernel, gradient):
    pull = jax.vjp(lambda x, w: _convolve(x, w, stride, padding), x, kernel)[1]
    return pull(gradient)

  return jax.lax.platform_dependent(
    *inputs, gradient, cpu=written, default=derived
  )


convolve.defvjp(_forward, _backward)
