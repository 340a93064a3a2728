"""Full-size model, its training step and a batch, for the benchmarks."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
from flax import linen as nn

from avl_jax import compilation, parallel
from avl_jax.models import avlnet, davenet
from avl_jax.train import optimizer as optimizers
from avl_jax.train import step as training_step

FRAMES, MEL_BINS, VISUAL = 1000, 40, 4096  # 10 s; 2-D and 3-D features


def make_batch(size: int, frames: int = FRAMES) -> dict[str, np.ndarray]:
  """Random clips; the cost of a step does not depend on their content."""
  rng = np.random.default_rng(0)
  spectrogram = rng.normal(-40, 15, (size, frames, MEL_BINS))
  return {
    'spectrogram': spectrogram.astype(np.float32),
    'num_frames': np.full(size, frames, np.int32),
    'visual': rng.normal(0, 2**0.5 / 64, (size, VISUAL)).astype(np.float32),
  }


def make_step(
  batch: dict[str, np.ndarray],
  dtype: str,
  structure: str,
  remat: bool,
  **sizes: Any,
) -> tuple[Callable, training_step.TrainState, dict]:
  """Returns the step, not yet compiled, its state and the sharded batch.

  As in the program, XLA computes without Triton. `remat`: a step keeps only the
  inputs of blocks. `sizes` are arguments of AVLnet that make it small, for
  tests.
  """
  compilation.avoid_triton()
  net = avlnet.AVLnet(structure=structure, dtype=dtype, **sizes)
  optimizer = optimizers.make_optimizer(learning_rate=1e-3)
  state = training_step.create_state(
    avlnet.init_variables(net, VISUAL), optimizer
  )
  step = training_step.make_step(
    net, optimizer, pairs=(('audio', 'video'),), margin=0.001
  )
  if remat:
    step = _rematerialized(step)
  (on_devices,) = parallel.prefetch([batch])
  return parallel.pmap_step(step), state, on_devices


def _rematerialized(step: Callable) -> Callable:
  """The step, traced with blocks that compute their values again backwards."""
  # Argument 2 of (self, x, use_running_statistics) is static.
  block = nn.remat(davenet.ResidualBlock, static_argnums=(2,))

  def traced(state: training_step.TrainState, batch: dict) -> tuple:
    with mock.patch.object(davenet, 'ResidualBlock', block):
      return step(state, batch)

  return traced
