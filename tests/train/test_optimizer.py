"""Learning rate of a state."""

import numpy as np
import pytest

from avl_jax.train import optimizer as optimizers
from avl_jax.train import step as training_step


def test_the_learning_rate_is_that_of_the_last_update():
  schedule = {'learning_rate': 0.5, 'decay_rate': 0.9, 'decay_steps': 10}
  rate = optimizers.make_learning_rate(**schedule)
  optimizer = optimizers.make_optimizer(**schedule)
  state = training_step.create_state({'params': np.ones(2)}, optimizer)
  for updates, expected in ((0, 0.5), (1, 0.5), (10, 0.5), (11, 0.45)):
    counted = state.optimizer_state[-1]._replace(count=np.int32(updates))
    adam = state.optimizer_state[0]
    (value,) = rate(state.replace(optimizer_state=(adam, counted))).values()
    assert value == pytest.approx(expected)
