"""The loss of a batch's embeddings, whole or by rows of its scores."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp

from avl_jax import parallel
from avl_jax.errors import UserError
from avl_jax.losses import Loss
from avl_jax.models.expressions import combine

Tree = Any


def make_objective(
  pairs: Sequence[tuple[str, str]], loss: Loss, *, seed: int, score_rows: int
) -> Callable[[Mapping, Tree, jax.Array, Mapping], jax.Array]:
  """Makes the sum of the losses of all pairs of expressions.

  Args:
    pairs: of expressions over the embeddings.
    loss: of each pair.
    seed: of what the loss draws, which is a function of it and of the step.
    score_rows: rows of scores that a device computes at once. Its gradient
      computes them again, so a device never holds more. 0: all.

  Returns:
    objective(embeddings, params, step, batch) -> scalar, inside a mapped step:
    embeddings of this device's examples, params['loss'] if the loss learns,
    number of the step, and the batch, which may have 'candidates'.
  """

  def objective(embeddings, params, step, batch):
    key = jax.random.fold_in(jax.random.key(seed), step)
    given = {
      'candidates': batch.get('candidates'),
      'gather': parallel.gather,
      **params.get('loss', {}),
    }
    total = sum(
      _of_pair(
        loss,
        combine(embeddings, x),
        combine(embeddings, y),
        given | {'key': jax.random.fold_in(key, i)},
        score_rows,
      )
      for i, (x, y) in enumerate(pairs)
    )
    return cast(jax.Array, total)

  return objective


def check_score_rows(count: int, score_rows: int) -> None:
  """Raises UserError unless a device's pairs split into rows of scores.

  Args:
    count: number of pairs of a device.
    score_rows: see `make_objective`.
  """
  if 0 < score_rows < count and count % score_rows:
    raise UserError(
      f'train.score_rows is {score_rows}, but a device has {count} pairs. '
      f'Expected a divisor of {count}, or 0 for all rows. Set train.score_rows.'
    )


def _of_pair(
  loss: Loss, x: jax.Array, y: jax.Array, given: Mapping, score_rows: int
) -> jax.Array:
  """Loss of this device's pairs x [n, D], y [n, D]."""
  if not score_rows or score_rows >= len(x):
    return loss(*parallel.gathered_scores(x, y), given)
  check_score_rows(len(x), score_rows)
  candidates = given['candidates']
  if candidates is None:
    candidates = jnp.zeros((len(x), 1), jnp.int32)
  tiles = jax.tree.map(
    lambda a: a.reshape(-1, score_rows, *a.shape[1:]),
    {
      'x': x,
      'y': y,
      'partners': parallel.partners(len(x)),
      'candidates': candidates,
    },
  )
  all_x, all_y = parallel.gather(x), parallel.gather(y)

  def columns(tile: Mapping) -> jax.Array:
    return parallel.scores(tile['y'], all_x)

  def of_columns(function: Callable) -> jax.Array:
    one = jax.checkpoint(lambda tile: function(columns(tile)))
    return jax.lax.map(one, tiles).reshape(len(x))

  loss = loss.with_totals(of_columns, candidates, parallel.gather)

  @jax.checkpoint
  def of_tile(tile: Mapping) -> jax.Array:
    return loss(
      parallel.scores(tile['x'], all_y),
      columns(tile),
      tile['partners'],
      {**given, 'candidates': tile['candidates']},
    )

  return jax.lax.map(of_tile, tiles).mean()
