"""Samples batches of indices: a function of (seed, epoch), without state."""

import functools
from collections.abc import Hashable, Sequence

import numpy as np

from avl_jax.errors import UserError


class BatchSampler:
  """Cuts a new permutation of the examples into batches in every epoch.

  Examples that do not fill the last batch are dropped, and so are surplus
  members of a group that has more members than there are batches. Which ones
  are dropped differs per epoch. Memory is constant.

  Example:
    sampler = BatchSampler(1000, 32, groups=None, seed=0)
    epoch, indices = sampler.batch(step=7)

  Attributes:
    batches_per_epoch: number of batches.
  """

  def __init__(
    self,
    num_examples: int,
    batch_size: int,
    groups: Sequence[Hashable] | None,
    seed: int,
  ):
    """Checks that batches are possible.

    Args:
      num_examples: length of an epoch.
      batch_size: examples in a batch.
      groups: [num_examples]; two examples of a group are never in one batch.
        None: any examples may be.
      seed: of the permutations.

    Raises:
      UserError: there are fewer examples, or groups, than a batch needs.
    """
    members, self._groups = np.ones(num_examples, int), None
    self.batches_per_epoch = num_examples // batch_size
    if groups is not None:
      _, self._groups, members = np.unique(
        np.asarray(groups), return_inverse=True, return_counts=True
      )
      while (
        np.minimum(members, self.batches_per_epoch).sum()
        < self.batches_per_epoch * batch_size
      ):
        self.batches_per_epoch -= 1
    if not self.batches_per_epoch:
      what = 'examples' if groups is None else 'groups of examples'
      raise UserError(
        f'{len(members)} {what} do not fill a batch of {batch_size}. Choose a '
        f'train_data.batch_size of at most {len(members)}.'
      )
    self._num_examples = num_examples
    self._shape = (self.batches_per_epoch, batch_size)
    self._seed = seed
    self._epoch = functools.lru_cache(maxsize=2)(self._make_epoch)

  def batch(self, step: int) -> tuple[int, np.ndarray]:
    """Returns (epoch, int [batch_size] indices) of a step, counted from 0."""
    epoch, index = divmod(step, self.batches_per_epoch)
    return epoch, self._epoch(epoch)[index]

  def substitutes(self, step: int, index: int) -> np.ndarray:
    """Returns the examples that may replace a bad one, best first.

    A function of (seed, epoch, index): it does not depend on other bad examples
    or on which host finds them.

    Args:
      step: counted from 0.
      index: of an example of the step's batch.

    Returns:
      int [num_examples - 1], four parts, each shuffled: the example's own
      group; groups that are not in the batch, first the share of them that is
      reserved for this example, so that two bad examples of a batch get
      different substitutes, then the others; groups that are in the batch.
    """
    epoch, batch = self.batch(step)
    order = np.random.default_rng((self._seed, epoch, index, 1)).permutation(
      self._num_examples
    )
    order = order[order != index]
    groups = np.arange(self._num_examples)
    if self._groups is not None:
      groups = self._groups
    others = groups[order]
    new = ~np.isin(others, groups[batch])
    reserved = others % len(batch) == np.flatnonzero(batch == index)
    kinds = [others == groups[index], new & reserved, new]
    return order[np.argsort(np.select(kinds, [0, 1, 2], 3), kind='stable')]

  def _make_epoch(self, epoch: int) -> np.ndarray:
    rng = np.random.default_rng((self._seed, epoch))
    order = rng.permutation(self._num_examples)
    if self._groups is not None:
      ranks = _rank_in_group(self._groups[order])
      order = order[ranks < self.batches_per_epoch]
    batches = order[: np.prod(self._shape)].reshape(self._shape)
    if self._groups is None:
      return batches
    return separate_groups(batches, self._groups, rng)


def _rank_in_group(groups: np.ndarray) -> np.ndarray:
  """Number of members of its group before each element; int [n]."""
  order = np.argsort(groups, kind='stable')
  _, first = np.unique(groups[order], return_inverse=True)
  starts = np.concatenate([[0], np.cumsum(np.bincount(first))])
  ranks = np.empty_like(order)
  ranks[order] = np.arange(len(groups)) - starts[first]
  return ranks


def separate_groups(
  batches: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
  """Swaps examples between batches until no batch has a group twice.

  Args:
    batches: int [batches, size] indices; no group has more members than there
      are batches.
    groups: int [examples].
    rng: draws the partners of the swaps.

  Returns:
    The same indices, rearranged; unchanged if no batch had a group twice.
  """
  batches = batches.copy()
  members = [set(groups[batch]) for batch in batches]
  for row, batch in enumerate(batches):
    first = np.unique(groups[batch], return_index=True)[1]
    for place in np.setdiff1d(np.arange(len(batch)), first):
      group = groups[batch[place]]
      for _ in range(100 * len(batches)):
        other_row = rng.integers(len(batches))
        other_place = rng.integers(len(batch))
        other = groups[batches[other_row, other_place]]
        if group not in members[other_row] and other not in members[row]:
          break
      else:
        return _deal(batches, groups, rng)
      batches[row, place], batches[other_row, other_place] = (
        batches[other_row, other_place],
        batches[row, place],
      )
      # The batch still has the group: another member of it is not swapped.
      members[row].add(other)
      members[other_row].add(group)
      if other not in groups[batches[other_row]]:
        members[other_row].discard(other)
  return batches


def _deal(
  batches: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
  """Deals group after group to the batches in turn, which always succeeds.

  Neighbouring batches then share most groups, so this is for data with hardly
  more groups than a batch has places.
  """
  indices = rng.permutation(batches.ravel())
  names = rng.permutation(groups.max() + 1)
  ordered = indices[np.argsort(names[groups[indices]], kind='stable')]
  return rng.permutation(ordered.reshape(batches.shape[::-1]).T)
