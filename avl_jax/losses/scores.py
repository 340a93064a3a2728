"""Functions of scores that several losses share."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

Array = jax.Array | np.ndarray


def widen(scores: Float[Array, 'n N']) -> Float[jax.Array, 'n N']:
  """Scores as float32, or float64 if they are."""
  scores = jnp.asarray(scores)
  return scores.astype(jnp.promote_types(scores.dtype, jnp.float32))


def is_partner(
  partners: Int[Array, ' n'], count: int
) -> Bool[jax.Array, 'n N']:
  """Whether each of `count` scores of a row is that of the row's pair."""
  return jnp.arange(count) == partners[:, None]
