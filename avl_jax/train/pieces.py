"""The gradient of a batch whose activations do not fit into memory.

Gradient caching (Gao et al. 2021): the batch is embedded piece by piece,
without a gradient; the loss of all embeddings gives their gradients; then each
piece is embedded again, and the gradients of its embeddings become those of the
parameters. Memory is that of the batch, its embeddings, and the activations of
one piece. Each piece is embedded twice, and alike: a model draws nothing.

Statistics of BatchNorm, if they are those of the batch, are those of a piece:
of the examples that all devices have in it. The running statistics move once a
step, towards the mean of the pieces' statistics.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from avl_jax import parallel

Tree = Any


def make_gradient_by_pieces(
  embed: Callable, objective: Callable, pieces: int
) -> Callable:
  """Makes gradient(params, state, batch) -> ((loss, batch_stats), gradients).

  It equals that of the whole batch if the statistics are not of the batch.

  Args:
    embed: of (params, state, batch) -> (embeddings, new batch_stats).
    objective: see `objective.make_objective`.
    pieces: of a device's share, which they divide evenly.
  """

  def gradient(params, state, batch):
    parts = jax.tree.map(lambda x: _split(x, pieces), batch)
    embeddings, statistics = jax.lax.map(
      lambda part: embed(params, state, part), parts
    )
    embeddings = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), embeddings)
    # Zeros but for what the loss learns.
    loss, (of_embeddings, gradients) = jax.value_and_grad(objective, (0, 1))(
      embeddings, params, state.step, batch
    )

    def add(total, part):
      examples, of_part = part
      _, pull = jax.vjp(lambda p: embed(p, state, examples)[0], params)
      return jax.tree.map(jnp.add, total, *pull(of_part)), None

    of_parts = jax.tree.map(lambda x: _split(x, pieces), of_embeddings)
    gradients, _ = jax.lax.scan(add, gradients, (parts, of_parts))
    # Statistics that do not move keep their bits.
    batch_stats = jax.tree.map(
      lambda old, new: old + (new - old).mean(0),
      state.variables['batch_stats'],
      statistics,
    )
    return (loss, batch_stats), gradients

  return gradient


def _split(x: jax.Array, pieces: int) -> jax.Array:
  """[n, ...] -> [pieces, n / pieces, ...]."""
  parallel.check_divisible(len(x), 1, pieces)
  return x.reshape(pieces, -1, *x.shape[1:])
