"""Training: state, optimizer, step, the loop."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm

from avl_jax import ConfigError, UserError, losses, parallel
from avl_jax.checkpoint import Checkpoints
from avl_jax.model import AVLnet, combine

Tree = Any


class TrainState(flax.struct.PyTreeNode):
  """All that a step changes.

  Attributes:
    step: int32, steps done.
    variables: {'params', 'batch_stats'}, float32.
    optimizer_state: of optax.
  """

  step: jax.Array
  variables: Tree
  optimizer_state: Tree


def create_state(
  variables: Tree, optimizer: optax.GradientTransformation
) -> TrainState:
  """The state before the first step, one copy on every device."""
  return parallel.replicate(
    TrainState(
      jnp.zeros((), jnp.int32), variables, optimizer.init(variables['params'])
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

  Args:
    model: see AVLnet.
    optimizer: of `make_optimizer`.
    pairs: expressions over the embeddings whose losses are added:
      (('audio', 'video'),) is AVLnet.
    margin: of `losses.masked_margin_softmax`.

  Returns:
    step(state, batch) -> (state, {'loss', 'gradient_norm'}), where batch is
    this device's share, without 'id'.
  """

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

  def step(state, batch):
    params, batch_stats = (
      state.variables['params'],
      state.variables['batch_stats'],
    )
    (loss, batch_stats), gradients = jax.value_and_grad(
      loss_function, has_aux=True
    )(params, batch_stats, batch)
    loss, gradients = parallel.mean((loss, gradients))
    if not model.axis_name:
      batch_stats = parallel.of_first_device(batch_stats)
    updates, optimizer_state = optimizer.update(
      gradients, state.optimizer_state, params
    )
    params = optax.apply_updates(params, updates)
    metrics = {'loss': loss, 'gradient_norm': optax.tree.norm(gradients)}
    variables = {'params': params, 'batch_stats': batch_stats}
    return TrainState(state.step + 1, variables, optimizer_state), metrics

  return step


def train_and_evaluate(
  *,
  state: TrainState,
  step: Callable,
  batches: Callable[[int, int], Any],
  evaluate: Callable[[Tree], dict[str, float]],
  writer: Any,
  checkpoints: Checkpoints,
  num_steps: int,
  log_every: int,
  eval_every: int,
) -> TrainState:
  """Trains from `state.step` to `num_steps`.

  Args:
    state: of `create_state`, or restored.
    step: of `parallel.pmap_step`.
    batches: batches(first, last) yields the batches of those steps.
    evaluate: variables -> scalars; called before the first step, every
      `eval_every` steps and after the last.
    writer: with clu's `write_scalars(step, scalars)` and `flush()`.
    checkpoints: written after each evaluation.
    num_steps: steps of the whole run.
    log_every: steps over which loss and speed are averaged.
    eval_every: steps between evaluations.

  Returns:
    The last state.

  Raises:
    UserError: the loss of a step is not finite.
  """
  first = int(state.step)
  if first >= num_steps:
    print(f'nothing to train: step {first} of {num_steps} is done')
    return state
  inputs = (_inputs(batch) for batch in batches(first, num_steps))
  stream = parallel.prefetch(inputs)
  if not first:  # Chance, and a first try of all that evaluation needs.
    scalars = evaluate(state.variables)
    checkpoints.check(scalars)
    writer.write_scalars(0, scalars)
  meter = _Meter()
  bar = tqdm.tqdm(desc='compile', unit='step', initial=first, total=num_steps)
  for done in range(first + 1, num_steps + 1):
    with meter.waiting():
      batch = next(stream)
    state, metrics = step(state, batch)
    # Waiting here keeps fake devices on few cores from deadlocking, and no
    # state of a step that went wrong is ever saved.
    metrics = {name: float(value) for name, value in metrics.items()}
    if not math.isfinite(metrics['loss']):
      raise UserError(
        f'the loss of step {done} is {metrics["loss"]}; the last checkpoint is '
        'good. Try a smaller learning rate, or look for bad features'
      )
    meter.add(metrics, batch)
    bar.set_description('train', refresh=False)
    bar.update()
    if done % log_every == 0 or done == num_steps:
      scalars = meter.read()
      bar.set_postfix(loss=f'{scalars["loss"]:.3f}')
      writer.write_scalars(done, scalars)
    if done % eval_every == 0 or done == num_steps:
      scalars = evaluate(state.variables)
      writer.write_scalars(done, scalars)
      writer.flush()
      checkpoints.save(state, scalars)
      meter.restart()
  bar.close()
  return state


def _inputs(batch: Mapping) -> dict:
  """What goes to the devices: all but the ids."""
  return {key: value for key, value in batch.items() if key != 'id'}


class _Meter:
  """Means of a step's metrics, speed, and waiting time between two reads."""

  def __init__(self):
    self.restart()

  def restart(self) -> None:
    self._metrics, self._clips, self._waited = [], 0, 0.0
    self._start = time.perf_counter()

  @contextlib.contextmanager
  def waiting(self) -> Iterator[None]:
    start = time.perf_counter()
    yield
    self._waited += time.perf_counter() - start

  def add(self, metrics: Mapping[str, float], batch: Mapping) -> None:
    self._metrics.append(metrics)
    self._clips += batch['num_frames'].size

  def read(self) -> dict[str, float]:
    """Means since the last read, clips a second, share of time waited."""
    seconds = time.perf_counter() - self._start
    scalars = {
      key: float(np.mean([metrics[key] for metrics in self._metrics]))
      for key in self._metrics[0]
    }
    scalars['clips_per_second'] = self._clips / seconds
    scalars['waiting_for_data'] = self._waited / seconds
    self.restart()
    return scalars
