"""The order of examples: a function of (seed, epoch), in constant memory."""

import functools
from collections.abc import Hashable, Sequence

import numpy as np

from avl_jax.errors import UserError


class Order:
  """Batches of indices; every epoch a new permutation, cut into batches.

  What does not fill a batch is dropped, and of a group with more members than
  there are batches the surplus; another one each epoch.
  """

  def __init__(
    self,
    num_examples: int,
    batch_size: int,
    groups: Sequence[Hashable] | None,
    seed: int,
  ):
    """Checks that the batches can be made.

    Args:
      num_examples: length of an epoch.
      batch_size: examples in a batch.
      groups: [num_examples], examples of one group are never in one batch;
        None: no such care.
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
        f'{len(members)} {what} do not fill a batch of {batch_size}; choose a '
        f'batch size of at most {len(members)}'
      )
    self._num_examples = num_examples
    self._shape = (self.batches_per_epoch, batch_size)
    self._seed = seed
    self._epoch = functools.lru_cache(maxsize=2)(self._make_epoch)

  def batch(self, step: int) -> tuple[int, np.ndarray]:
    """(epoch, int [batch_size] indices) of a step, counted from 0."""
    epoch, index = divmod(step, self.batches_per_epoch)
    return epoch, self._epoch(epoch)[index]

  def substitutes(self, step: int, index: int) -> np.ndarray:
    """What may take the place of a bad example of a step, best first.

    A function of (seed, epoch, index): what else is bad, and who found it,
    changes nothing.

    Args:
      step: counted from 0.
      index: of an example of the step's batch.

    Returns:
      int [num_examples - 1]: the example's own group; other groups that are
      not in the batch, of which those first that no other example of the
      batch has first; the rest. Each shuffled.
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
    own_share = others % len(batch) == np.flatnonzero(batch == index)
    kinds = [others == groups[index], new & own_share, new]
    return order[np.argsort(np.select(kinds, [0, 1, 2], 3), kind='stable')]

  def _make_epoch(self, epoch: int) -> np.ndarray:
    rng = np.random.default_rng((self._seed, epoch))
    order = rng.permutation(self._num_examples)
    if self._groups is not None:
      order = order[_place(self._groups[order]) < self.batches_per_epoch]
    batches = order[: np.prod(self._shape)].reshape(self._shape)
    if self._groups is None:
      return batches
    return separate(batches, self._groups, rng)


def _place(groups: np.ndarray) -> np.ndarray:
  """How many members of its group come before each element; int [n]."""
  order = np.argsort(groups, kind='stable')
  _, first = np.unique(groups[order], return_inverse=True)
  starts = np.concatenate([[0], np.cumsum(np.bincount(first))])
  places = np.empty_like(order)
  places[order] = np.arange(len(groups)) - starts[first]
  return places


def separate(
  batches: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
  """Swaps examples between batches until no batch has a group twice.

  Args:
    batches: int [batches, size] indices; no group has more than `batches`.
    groups: int [examples].
    rng: chooses the partners of the swaps.

  Returns:
    The same indices, rearranged; untouched where nothing was wrong.
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
        return _dealt(batches, groups, rng)
      batches[row, place], batches[other_row, other_place] = (
        batches[other_row, other_place],
        batches[row, place],
      )
      # The group stays in its own batch: another of its members is there.
      members[row].add(other)
      members[other_row].add(group)
      if other not in groups[batches[other_row]]:
        members[other_row].discard(other)
  return batches


def _dealt(batches, groups, rng) -> np.ndarray:
  """Deals group after group to the batches in turn, which always succeeds.

  Neighbouring batches then share most groups, so this is for data with hardly
  more groups than a batch has places.
  """
  indices = rng.permutation(batches.ravel())
  names = rng.permutation(groups.max() + 1)
  ordered = indices[np.argsort(names[groups[indices]], kind='stable')]
  return rng.permutation(ordered.reshape(batches.shape[::-1]).T)
