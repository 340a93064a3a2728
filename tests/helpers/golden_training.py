"""Convolutions and tolerances for training that meets golden losses."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

# Steps at which float32 rounding has not yet grown, and tolerances before and
# after: Adam's first steps amplify the sign of gradients near zero. GOLDEN.md,
# section 5, has the same numbers.
FLOAT32 = {
  'train': (2, 1e-4, 2e-2),
  'evalmode': (4, 1e-4, 3e-2),
  'evalmode_lr1e-5': (10, 1e-3, 1e-3),
}


def convolve_by_matmul(next_function, args, kwargs, context):
  """Replaces convolutions that XLA does by a naive loop on CPU.

  Those are float64 ones, a hundred times slower than this, and those of inputs
  hardly longer than the kernel, thirty times.
  """
  layer, *x = context.module, *args
  if not isinstance(layer, nn.Conv) or (
    layer.dtype == jnp.float32 and x[0].shape[1] >= 16
  ):
    return next_function(*args, **kwargs)
  kernel = layer.variables['params']['kernel']
  x = jnp.pad(x[0], ((0, 0), *layer.padding, (0, 0)))
  length = x.shape[1] - len(kernel) + 1
  taps = [x[:, i : i + length : layer.strides] for i in range(len(kernel))]
  return jnp.concatenate(taps, -1) @ kernel.reshape(-1, kernel.shape[-1])


def assert_losses(losses, expected, tolerances):
  """Compares the losses of steps with golden ones.

  Args:
    losses: of each step.
    expected: the same of the release, in float64.
    tolerances: as the values of `FLOAT32`.
  """
  early, *tolerances = tolerances
  for part, rtol in zip(
    (slice(early), slice(early, None)), tolerances, strict=True
  ):
    np.testing.assert_allclose(losses[part], expected[part], rtol=rtol)
