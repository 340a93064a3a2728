"""The sum at the end of a residual block (He et al., 2016)."""

import jax
import jax.numpy as jnp


@jax.custom_jvp
def relu_of_sum(x: jax.Array, y: jax.Array) -> jax.Array:
  """Computes relu(x + y) as max(x, -y) + y, which has the same values.

  The result of a block has two uses: the first convolution of the next block
  and its sum. For each use, XLA's compiler for CPUs computes an operation with
  one large operand, such as a maximum with 0, again, together with its operand:
  the sum of the 36th block would add the results of 36 blocks. An operation
  with two large operands is computed once.

  Args:
    x: any shape.
    y: the same shape; where it is infinite, the result is infinite or NaN.

  Returns:
    x's shape and type. Its gradient is that of `jax.nn.relu`, 0 at 0.
  """
  return jnp.maximum(x, -y) + y


@relu_of_sum.defjvp
def _derivative(primals, tangents):
  result = relu_of_sum(*primals)
  change = jnp.add(*tangents)
  return result, jnp.where(result > 0, change, jnp.zeros_like(change))
