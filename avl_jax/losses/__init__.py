"""Contrastive losses, as pure functions of scores.

Each takes this device's part of the scores of N pairs:
  rows [n, N]: scores x_i . y_j of the n local x against all y;
  columns [n, N]: scores y_i . x_j of the n local y against all x;
  partners int [n]: index in N of each local pair.
Each computes in float32 or wider, and needs memory O(nN). The mean of its
results over the devices is the loss of the whole batch, and has its gradient.
Those that draw impostors get a key, which is a function of (seed, step).
"""

from avl_jax.losses.binary import binary_cross_entropy, sigmoid, two_way
from avl_jax.losses.choice import Loss, choose, initial_values
from avl_jax.losses.multiple_instance import mil_nce
from avl_jax.losses.ranking import max_margin, sampled_margin
from avl_jax.losses.softmax import infonce, masked_margin_softmax

__all__ = [
  'Loss',
  'binary_cross_entropy',
  'choose',
  'infonce',
  'initial_values',
  'masked_margin_softmax',
  'max_margin',
  'mil_nce',
  'sampled_margin',
  'sigmoid',
  'two_way',
]
