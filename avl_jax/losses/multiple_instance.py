"""MIL-NCE: several candidates for each clip, one of which may be right."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from avl_jax.losses import scores as common

Array = jax.Array | np.ndarray


def mil_nce(
  rows: Float[Array, 'n N'],
  columns: Float[Array, 'm M'],
  partners: Int[Array, ' n'],
  *,
  candidates: Int[Array, 'n K'] | None = None,
  gather: Callable[[jax.Array], jax.Array] = lambda x: x,
  totals: tuple[Array, Array] | None = None,
) -> Float[jax.Array, '']:
  """MIL-NCE loss (Miech et al. 2020), row and column in one softmax.

  For a clip x_i with the candidates C_i among the y:

    log(sum_j exp S_ij + sum_{c in C_i} sum_j exp S_jc)
      - log(sum_{c in C_i} exp S_ic)

  in which j runs over all y in the first sum and over all x that have
  candidates in the second. The scores with the own candidates are in both, so
  that the loss is at least log 2, as the authors intend.

  Args:
    rows: [n, N] scores of the n local x against all N y.
    columns: [m, M] scores of the m local y against all M x; n = m, N = M in a
      training step.
    partners: int [n], index in N of each local x's own y.
    candidates: int [n, K], places of the candidates of each local x, counted
      from its own y: 0 is its own. An x whose first candidate is not its own y
      has none: its y is a candidate of another x, and it is left out. None:
      each x has its own y alone.
    gather: joins arrays [n, ...] of all devices, in their order.
    totals: what `make_totals` makes of all columns, where `columns` are a part
      of a device's; None: made of `columns`.

  Returns:
    Scalar float32 (float64 for float64 scores): the mean over all x that have
    candidates. The mean over the devices is that of the whole batch.
  """
  if candidates is None:
    candidates = jnp.zeros((len(rows), 1), jnp.int32)
  if totals is None:
    totals = make_totals(lambda sums: sums(columns), candidates, gather)
  rows, (all_count, column_sums) = common.widen(rows), totals
  counts = candidates[:, 0] == 0  # [n]
  chosen = partners[:, None] + candidates  # [n, K]
  every = jnp.logaddexp(
    jax.nn.logsumexp(rows, 1), jax.nn.logsumexp(column_sums[chosen], 1)
  )
  own = jax.nn.logsumexp(jnp.take_along_axis(rows, chosen, axis=1), 1)
  devices = len(all_count) / len(counts)
  return devices * (every - own).sum(where=counts) / all_count.sum()


def make_totals(
  of_columns: Callable[[Callable], jax.Array],
  candidates: Int[Array, 'n K'],
  gather: Callable[[jax.Array], jax.Array],
) -> tuple[Float[Array, ' M'], Float[Array, ' N']]:
  """What each row needs of all columns.

  Args:
    of_columns: applies a function of columns [m, M] -> [m] to all of a device's
      columns, or to one part after the other, and joins the results to [n].
    candidates: int [n, K], see `mil_nce`.
    gather: see `mil_nce`.

  Returns:
    [M] 1 where an x has candidates, else 0; and [N] the logarithms of the sums
    of exp S over these x, for each y.
  """
  all_count = gather((candidates[:, 0] == 0).astype(jnp.float32))  # [M]

  def sums(columns: jax.Array) -> jax.Array:
    columns = jnp.where(all_count > 0, common.widen(columns), -jnp.inf)
    return jax.nn.logsumexp(columns, 1)

  return all_count, gather(of_columns(sums))
