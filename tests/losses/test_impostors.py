"""Drawn impostors: which, how often, and on parts of a batch."""

import jax
import numpy as np
import pytest

from avl_jax.losses import impostors

N, CLIPS, DRAWS = 12, 3, 2_000


@pytest.fixture(scope='module')
def drawn():
  """Impostors [DRAWS, N] by the number of clips that are not drawn."""
  keys = jax.vmap(jax.random.key)(np.arange(DRAWS))
  draw = jax.vmap(impostors.draw, (0, None, None, None))
  return {
    group: np.asarray(draw(keys, np.arange(N), N, group))
    for group in (1, CLIPS)
  }


@pytest.mark.parametrize('group', [1, CLIPS])
def test_each_other_pair_is_as_likely(drawn, group):
  counts = np.stack([np.bincount(x, minlength=N) for x in drawn[group].T])
  own = np.equal(*(places // group for places in np.indices((N, N))))
  assert not counts[own].any()
  expected = DRAWS / (N - group)
  # Six standard deviations of a Poisson distribution.
  assert np.abs(counts[~own] - expected).max() < 6 * expected**0.5


def test_draws_of_places_and_of_keys_are_independent(drawn):
  first, second = drawn[1][:, 0], drawn[1][:, 1]
  assert 0 < np.mean(first == second) < 0.2
  assert 0 < np.mean(first[1:] == first[:-1]) < 0.2


def test_a_part_of_the_batch_draws_the_same():
  key, everyone = jax.random.key(3), np.arange(N)
  whole = impostors.draw(key, everyone, N, CLIPS)
  parts = [
    impostors.draw(key, part, N, CLIPS) for part in np.split(everyone, 4)
  ]
  np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_batches_without_another_video_or_another_pair():
  key, everyone = jax.random.key(3), np.arange(CLIPS)
  one_video = impostors.draw(key, everyone, CLIPS, CLIPS)
  np.testing.assert_array_equal(one_video, impostors.draw(key, everyone, CLIPS))
  assert (one_video != everyone).all()
  assert impostors.draw(key, everyone[:1], 1) == 0
