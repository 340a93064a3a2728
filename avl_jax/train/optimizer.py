"""Optimizer and learning rate schedule."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from avl_jax.errors import ConfigError


def make_schedule(
  *,
  learning_rate: float,
  schedule: str = 'exponential',
  decay_rate: float = 1.0,
  decay_steps: int = 1,
  warmup_steps: int = 0,
  num_steps: int | None = None,
) -> optax.Schedule:
  """Makes a learning rate schedule: step -> learning rate.

  Args:
    learning_rate: the maximum.
    schedule: 'exponential' multiplies the rate by `decay_rate` after every
      `decay_steps` (the release: 0.9 after each epoch); 'cosine' decays to zero
      at `num_steps`.
    decay_rate: of 'exponential'.
    decay_steps: of 'exponential'.
    warmup_steps: steps of a linear warmup from learning_rate / warmup_steps.
    num_steps: of 'cosine', which needs it.

  Raises:
    ConfigError: `schedule` is unknown, or 'cosine' has no num_steps.
  """
  if schedule == 'exponential':
    decay = optax.exponential_decay(
      learning_rate, decay_steps, decay_rate, staircase=True
    )
  elif schedule == 'cosine':
    if num_steps is None:
      raise ConfigError(
        "The schedule 'cosine' needs the step at which it is zero. Set "
        'num_steps.'
      )
    decay = optax.cosine_decay_schedule(learning_rate, num_steps)
  else:
    raise ConfigError(
      f'Unknown schedule {schedule!r}. schedule must be one of '
      "('exponential', 'cosine')."
    )
  return lambda step: (
    decay(step) * jnp.minimum(1, (step + 1) / max(warmup_steps, 1))
  )


def make_optimizer(**schedule: Any) -> optax.GradientTransformation:
  """Makes Adam (0.9, 0.999, 1e-8, no weight decay) with a schedule.

  Args:
    **schedule: see `make_schedule`.
  """
  return optax.adam(make_schedule(**schedule))


def make_learning_rate(**schedule: Any) -> Callable[..., dict[str, float]]:
  """Makes a function: `TrainState` -> {'learning_rate': of its last update}.

  Args:
    **schedule: see `make_schedule`.
  """
  rate = make_schedule(**schedule)

  def learning_rate(state: Any) -> dict[str, float]:
    # Adam, then the schedule, which counts the updates: no skipped steps.
    updates = int(state.optimizer_state[-1].count)
    return {'learning_rate': float(np.asarray(rate(max(updates - 1, 0))))}

  return learning_rate
