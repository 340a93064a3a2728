"""Full-size model, its training step and a batch, for the benchmarks."""

from collections.abc import Callable
from typing import Any

import numpy as np
from flax import linen as nn

from avl_jax import parallel
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

  `sizes` are arguments of AVLnet that make it small, for tests.
  """
  if (
    remat
  ):  # Keeps only the inputs of blocks. Argument 2 (self, x, _) is static.
    davenet.ResidualBlock = nn.remat(davenet.ResidualBlock, static_argnums=(2,))
  net = avlnet.AVLnet(structure=structure, dtype=dtype, **sizes)
  optimizer = optimizers.make_optimizer(learning_rate=1e-3)
  state = training_step.create_state(
    avlnet.init_variables(net, VISUAL), optimizer
  )
  step = training_step.make_step(
    net, optimizer, pairs=(('audio', 'video'),), margin=0.001
  )
  (on_devices,) = parallel.prefetch([batch])
  return parallel.pmap_step(step), state, on_devices
