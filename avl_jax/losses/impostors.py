"""Drawn impostors: for each pair one other, the same on any devices."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

Array = jax.Array | np.ndarray


def draw(
  key: Array, partners: Int[Array, ' n'], count: int, group: int = 1
) -> Int[jax.Array, ' n']:
  """Draws for each local pair the place of another pair of the batch.

  A draw depends on the key and on the place of the pair alone, so any number
  of devices draws the same.

  Args:
    key: of this step and of this draw.
    partners: int [n], index in N of each local pair.
    count: N.
    group: so many pairs in a row are of one video, none of which is drawn; 1:
      all but the pair itself. If there is no other video, 1.

  Returns:
    int32 [n], each as likely. In a batch of one pair its own place.
  """
  group = group if count > group else 1
  others = max(count - group, 1)

  def one(place: jax.Array) -> jax.Array:
    # Of 2^32 numbers, so that each place is as likely but for others / 2^32.
    bits = jax.random.bits(jax.random.fold_in(key, place), (), jnp.uint32)
    drawn = (bits % others).astype(jnp.int32)
    first = place // group * group
    return jnp.minimum(
      jnp.where(drawn < first, drawn, drawn + group), count - 1
    )

  return jax.vmap(one)(jnp.asarray(partners, jnp.int32))
