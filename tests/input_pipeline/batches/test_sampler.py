"""Batches of indices: permutations, distinct groups, no state."""

import numpy as np
import pytest

from avl_jax.errors import UserError
from input_pipeline.batches.sampler import BatchSampler, separate_groups


def _epoch(order, epoch):
  first = epoch * order.batches_per_epoch
  steps = range(first, first + order.batches_per_epoch)
  return np.stack([order.batch(step)[1] for step in steps])


def test_an_epoch_has_each_example_once():
  order = BatchSampler(103, 10, None, seed=3)
  epochs = [_epoch(order, epoch) for epoch in range(3)]
  for epoch in epochs:
    assert epoch.shape == (10, 10)
    assert len(np.unique(epoch)) == 100
  assert (epochs[0] != epochs[1]).any()
  # Each epoch drops other examples.
  assert set(range(103)) - set(epochs[0].flat) != (
    set(range(103)) - set(epochs[1].flat)
  )


def test_a_step_does_not_depend_on_what_came_before():
  forwards, fresh = (
    BatchSampler(50, 7, None, seed=1),
    BatchSampler(50, 7, None, seed=1),
  )
  expected = [forwards.batch(step)[1].tolist() for step in range(30)]
  for step in reversed(range(30)):
    assert fresh.batch(step)[1].tolist() == expected[step]
  other = BatchSampler(50, 7, None, seed=2)
  assert [other.batch(step)[1].tolist() for step in range(30)] != expected


def test_no_group_twice_in_a_batch():
  groups = np.repeat(np.arange(40), 10)
  order = BatchSampler(400, 32, groups, seed=0)
  for epoch in range(3):
    batches = _epoch(order, epoch)
    assert len(np.unique(batches)) == batches.size
    for batch in batches:
      assert len(np.unique(groups[batch])) == 32


def test_distinct_batches_are_not_changed():
  batches = np.arange(12).reshape(3, 4)
  rng = np.random.default_rng(0)
  np.testing.assert_array_equal(
    separate_groups(batches, np.arange(12), rng), batches
  )


def test_uneven_groups():
  groups = np.array([0] * 5 + [1] * 5 + list(range(2, 22)))
  order = BatchSampler(30, 6, groups, seed=0)
  for batch in _epoch(order, 0):
    assert len(np.unique(groups[batch])) == 6


def test_a_group_larger_than_an_epoch_has_batches():
  """Its surplus is dropped, another one each epoch; all others are sampled."""
  groups = np.array([0] * 12 + list(range(1, 29)))
  order = BatchSampler(40, 8, groups, seed=0)
  # Five batches have one member each: 5 + 28 examples do not fill 5 x 8.
  assert order.batches_per_epoch == 4
  members = []
  for epoch in range(4):
    batches = _epoch(order, epoch)
    assert len(np.unique(batches)) == 32
    for batch in batches:
      assert len(np.unique(groups[batch])) == 8
    members.append(set(batches[groups[batches] == 0]))
  assert all(len(chosen) == 4 for chosen in members)
  assert len(set.union(*members)) > 4


def test_as_many_groups_as_places():
  """The tightest case: every batch has every group."""
  groups = np.repeat(np.arange(24), 9)
  order = BatchSampler(len(groups), 24, groups, seed=0)
  for epoch in range(3):
    batches = _epoch(order, epoch)
    assert len(np.unique(batches)) == len(groups)
    for batch in batches:
      assert len(np.unique(groups[batch])) == 24


@pytest.mark.parametrize(
  ('count', 'size', 'groups', 'message'),
  [
    (5, 6, None, '5 examples do not fill a batch of 6'),
    (20, 5, np.zeros(20), '1 groups of examples do not fill a batch of 5'),
    (20, 10, np.arange(20) // 10, '2 groups of examples'),
  ],
)
def test_impossible_batches_are_refused(count, size, groups, message):
  with pytest.raises(UserError, match=message):
    BatchSampler(count, size, groups, seed=0)


@pytest.mark.parametrize('pairs', [False, True])
def test_substitutes_come_from_own_group_then_from_new_ones(pairs):
  groups = np.arange(60) // 2 if pairs else np.arange(60)
  order = BatchSampler(60, 6, groups if pairs else None, seed=1)
  again = BatchSampler(60, 6, groups if pairs else None, seed=1)
  orders = set()
  for step in range(20):
    _, batch = order.batch(step)
    firsts = set()
    for index in batch.tolist():
      candidates = order.substitutes(step, index)
      np.testing.assert_array_equal(again.substitutes(step, index), candidates)
      assert sorted([*candidates, index]) == list(range(60))
      own = np.count_nonzero(groups == groups[index]) - 1
      assert (groups[candidates[:own]] == groups[index]).all()
      new = (~np.isin(groups, groups[batch])).sum()
      rest = groups[candidates[own:]]
      assert not np.isin(rest[:new], groups[batch]).any()
      assert np.isin(rest[new:], groups[batch]).all()
      firsts.add(rest[0])
      orders.add(tuple(candidates))
    assert len(firsts) == 6  # If all are bad, each has its own substitute.
  assert len(orders) == 120
