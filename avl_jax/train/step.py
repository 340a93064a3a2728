"""Training state and training step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from avl_jax import losses, parallel
from avl_jax.models import branches
from avl_jax.models.avlnet import AVLnet
from avl_jax.train.objective import make_objective
from avl_jax.train.pieces import make_gradient_by_pieces

Tree = Any


class TrainState(flax.struct.PyTreeNode):
  """State that a training step updates.

  Attributes:
    step: int32, number of steps done, skipped ones included.
    variables: {'params', 'batch_stats'}, float32.
    optimizer_state: optax state.
    skipped: int32, number of consecutive steps up to this one that were skipped
      because a value was not finite.
  """

  step: jax.Array
  variables: Tree
  optimizer_state: Tree
  skipped: jax.Array


def create_state(
  variables: Tree, optimizer: optax.GradientTransformation
) -> TrainState:
  """Creates the state before the first step, replicated on every device."""
  return parallel.replicate(
    TrainState(
      jnp.zeros((), jnp.int32),
      variables,
      optimizer.init(variables['params']),
      jnp.zeros((), jnp.int32),
    )
  )


def make_step(
  model: AVLnet,
  optimizer: optax.GradientTransformation,
  *,
  pairs: Sequence[tuple[str, str]],
  clips_per_video: int = 1,
  frozen: Sequence[str] = (),
  pieces: int = 1,
  score_rows: int = 0,
  seed: int = 0,
  **loss: Any,
) -> Callable[[TrainState, Mapping], tuple[TrainState, dict]]:
  """Makes a training step, to be mapped by `parallel.pmap_step`.

  A step is skipped if a value of the batch, the loss, the norm of the gradients
  or a new statistic is not finite on any device: then `state.step` advances,
  but parameters, statistics and optimizer state stay the same on all devices.

  Args:
    model: to train.
    optimizer: from `optimizer.make_optimizer`.
    pairs: of expressions over the embeddings; their losses are added.
    clips_per_video: consecutive rows of a batch that are of one video.
    frozen: branches ('audio', 'video', 'text') that stay as they are, bit for
      bit: no gradient, no update, no new running statistics.
    pieces: into which a device's share is cut, see `pieces`; 1: the whole.
    score_rows: rows of scores that a device computes at once; 0: all.
    seed: of what the loss draws, which is a function of it and of the step.
    **loss: see `losses.choose`; what it learns is in params['loss'].

  Returns:
    step(state, batch) -> (state, metrics): the batch is this device's share
    without 'id', the metrics are scalars 'loss', 'gradient_norm', 'skipped'.

  Raises:
    ConfigError: a frozen branch is unknown, or nothing is trained.

  Example:
    step = parallel.pmap_step(make_step(model, optimizer, pairs=pairs))
    state, metrics = step(state, parallel.shard(batch))
  """
  branches.check_frozen(model, frozen)
  model = branches.freeze(model, frozen)
  chosen = losses.choose(clips_per_video=clips_per_video, **loss)
  objective = make_objective(pairs, chosen, seed=seed, score_rows=score_rows)
  embed = _make_embed(model, frozen)
  if pieces == 1:
    gradient = _make_gradient(embed, objective)
  else:
    gradient = make_gradient_by_pieces(embed, objective, pieces)
  return _make_update(optimizer, gradient, frozen, bool(model.axis_name))


def _make_update(optimizer, gradient, frozen, are_shared) -> Callable:
  """Makes the step of a gradient; `are_shared`: statistics of all devices."""

  def step(state, batch):
    params = state.variables['params']
    (loss, batch_stats), gradients = gradient(params, state, batch)
    loss, gradients = parallel.mean((loss, gradients))
    norm = optax.tree.norm(gradients)
    # Of finite parameters and moments, Adam makes finite ones if the squares of
    # the gradients have a finite sum. So the decision comes before the update,
    # and XLA chooses between old and new where it computes the new. The check
    # reads the batch once more.
    # Checked before one device's statistics replace those of the others.
    finite = parallel.on_all_devices(
      _all_finite((batch, loss, norm, batch_stats))
    )
    updates, optimizer_state = optimizer.update(
      gradients, state.optimizer_state, params
    )
    params = optax.apply_updates(params, updates)
    if not are_shared:
      batch_stats = parallel.of_first_device(batch_stats)
    variables = {'params': params, 'batch_stats': batch_stats}
    before = (state.variables, state.optimizer_state)
    after = jax.tree.map(
      lambda new, old: jnp.where(finite, new, old),
      (variables, optimizer_state),
      before,
    )
    variables, optimizer_state = branches.restore(after, before, frozen)
    skipped = jnp.where(finite, 0, state.skipped + 1)
    metrics = {'loss': loss, 'gradient_norm': norm}
    state = TrainState(state.step + 1, variables, optimizer_state, skipped)
    return state, metrics | {'skipped': skipped}

  return step


def _make_gradient(embed, objective) -> Callable:
  """Makes gradient(params, state, batch) -> ((loss, statistics), gradients)."""

  def loss(params, state, batch):
    embeddings, batch_stats = embed(params, state, batch)
    return objective(embeddings, params, state.step, batch), batch_stats

  return jax.value_and_grad(loss, has_aux=True)


def _make_embed(model, frozen) -> Callable:
  """Makes embed(params, state, batch) -> (embeddings, new batch_stats)."""

  def embed(params, state, batch):
    params = branches.stop_gradient(params, frozen)
    embeddings, updates = model.apply(
      {**state.variables, 'params': params},
      batch,
      train=True,
      mutable=['batch_stats'],
    )
    return embeddings, updates['batch_stats']

  return embed


def _all_finite(tree: Tree) -> jax.Array:
  """Whether all floating-point values of a tree are finite; a bool scalar."""
  return jnp.all(
    jnp.array(
      [
        jnp.isfinite(x).all()
        for x in jax.tree.leaves(tree)
        if jnp.issubdtype(x.dtype, jnp.floating)
      ]
    )
  )
