"""Training: state, optimizer, step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from avl_jax import losses, parallel
from avl_jax.errors import ConfigError
from avl_jax.models.avlnet import AVLnet, combine

Tree = Any


class TrainState(flax.struct.PyTreeNode):
  """All that a step changes.

  Attributes:
    step: int32, steps done, those that changed nothing included.
    variables: {'params', 'batch_stats'}, float32.
    optimizer_state: of optax.
    skipped: int32, how many steps before this one, without a break, changed
      nothing because something was not finite.
  """

  step: jax.Array
  variables: Tree
  optimizer_state: Tree
  skipped: jax.Array


def create_state(
  variables: Tree, optimizer: optax.GradientTransformation
) -> TrainState:
  """The state before the first step, one copy on every device."""
  return parallel.replicate(
    TrainState(
      jnp.zeros((), jnp.int32),
      variables,
      optimizer.init(variables['params']),
      jnp.zeros((), jnp.int32),
    )
  )


def make_schedule(
  *,
  learning_rate: float,
  schedule: str = 'exponential',
  decay_rate: float = 1.0,
  decay_steps: int = 1,
  warmup_steps: int = 0,
  num_steps: int | None = None,
) -> optax.Schedule:
  """Learning rate of each step.

  Args:
    learning_rate: the largest.
    schedule: 'exponential' multiplies by `decay_rate` after every
      `decay_steps` (the release: 0.9 after each epoch); 'cosine' falls to zero
      at `num_steps`.
    decay_rate: of 'exponential'.
    decay_steps: of 'exponential'.
    warmup_steps: linear rise from learning_rate / warmup_steps.
    num_steps: of 'cosine'.

  Raises:
    ConfigError: `schedule` is neither.
  """
  if schedule == 'exponential':
    decay = optax.exponential_decay(
      learning_rate, decay_steps, decay_rate, staircase=True
    )
  elif schedule == 'cosine':
    decay = optax.cosine_decay_schedule(learning_rate, num_steps)
  else:
    raise ConfigError(
      f"schedule must be 'exponential' or 'cosine', not {schedule!r}"
    )
  return lambda step: (
    decay(step) * jnp.minimum(1, (step + 1) / max(warmup_steps, 1))
  )


def make_optimizer(**schedule: Any) -> optax.GradientTransformation:
  """Adam (0.9, 0.999, 1e-8, no weight decay) with `make_schedule`'s rate."""
  return optax.adam(make_schedule(**schedule))


def make_step(
  model: AVLnet,
  optimizer: optax.GradientTransformation,
  *,
  pairs: Sequence[tuple[str, str]],
  margin: float,
) -> Callable[[TrainState, Mapping], tuple[TrainState, dict]]:
  """One update, to be mapped over devices by `parallel.pmap_step`.

  If a number of the batch, the loss, the gradients or the new state is not
  finite on any device, the step counts but nothing else changes on any: not
  the parameters, nor the statistics, nor the optimizer's state.

  Args:
    model: see AVLnet.
    optimizer: of `make_optimizer`.
    pairs: expressions over the embeddings whose losses are added:
      (('audio', 'video'),) is AVLnet.
    margin: of `losses.masked_margin_softmax`.

  Returns:
    step(state, batch) -> (state, {'loss', 'gradient_norm', 'skipped': as in the
    state}), where batch is this device's share, without 'id'.
  """
  gradient = jax.value_and_grad(_make_loss(model, pairs, margin), has_aux=True)

  def step(state, batch):
    params, batch_stats = (
      state.variables['params'],
      state.variables['batch_stats'],
    )
    (loss, batch_stats), gradients = gradient(params, batch_stats, batch)
    loss, gradients = parallel.mean((loss, gradients))
    updates, optimizer_state = optimizer.update(
      gradients, state.optimizer_state, params
    )
    params = optax.apply_updates(params, updates)
    # Before one device's statistics stand for all: each must be finite.
    finite = _all_finite((batch, loss, gradients, batch_stats, params))
    finite = parallel.everywhere(finite & _all_finite(optimizer_state))
    if not model.axis_name:
      batch_stats = parallel.of_first_device(batch_stats)
    variables = {'params': params, 'batch_stats': batch_stats}
    variables, optimizer_state = jax.tree.map(
      lambda new, old: jnp.where(finite, new, old),
      (variables, optimizer_state),
      (state.variables, state.optimizer_state),
    )
    skipped = jnp.where(finite, 0, state.skipped + 1)
    metrics = {'loss': loss, 'gradient_norm': optax.tree.norm(gradients)}
    state = TrainState(state.step + 1, variables, optimizer_state, skipped)
    return state, metrics | {'skipped': skipped}

  return step


def _make_loss(model, pairs, margin) -> Callable:
  """loss(params, batch_stats, batch) -> (scalar, new batch_stats)."""

  def loss_function(params, batch_stats, batch):
    embeddings, updates = model.apply(
      {'params': params, 'batch_stats': batch_stats},
      batch,
      train=True,
      mutable=['batch_stats'],
    )
    loss = sum(
      losses.masked_margin_softmax(
        *parallel.gathered_scores(
          combine(embeddings, x), combine(embeddings, y)
        ),
        margin=margin,
      )
      for x, y in pairs
    )
    return loss, updates['batch_stats']

  return loss_function


def _all_finite(tree: Tree) -> jax.Array:
  """Whether every floating-point number of a tree is finite; a bool."""
  return jnp.all(
    jnp.array(
      [
        jnp.isfinite(x).all()
        for x in jax.tree.leaves(tree)
        if jnp.issubdtype(x.dtype, jnp.floating)
      ]
    )
  )
