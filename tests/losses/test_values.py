"""Every loss against closed numbers and naive loops in float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax import loss_options, losses
from avl_jax.errors import ConfigError
from avl_jax.losses import impostors
from tests.helpers.losses import CHOICES, LEARNT

# 4 videos of 3 clips; the last two of 3 are candidates of the first.
VIDEOS, CLIPS = 4, 3
N = VIDEOS * CLIPS
BAGS = np.arange(CLIPS) - np.tile(np.arange(CLIPS), VIDEOS)[:, None]
# The release keeps the margin in float32 even with float64 scores.
MARGIN = float(np.float32(0.001))


def chosen(choice):
  return losses.choose(clips_per_video=CLIPS, **CHOICES[choice])


@jax.jit
def _compiled(scores, candidates, learnt):
  given = {
    'candidates': candidates,
    'gather': lambda x: x,
    'key': jax.random.key(5),
    **learnt,
  }
  return {
    choice: chosen(choice)(scores, scores.T, jnp.arange(N), given)
    for choice in CHOICES
  }


def _every_loss(scores):
  """All losses of CHOICES, compiled together."""
  return _compiled(scores, BAGS, LEARNT)


def _closed_scores():
  """S_ij of the closed numbers."""
  i, j = np.indices((6, 6))
  return np.sin(1.7 * i + 0.9 * j) + 1.5 * (i == j)


@pytest.mark.parametrize(
  ('options', 'expected'),
  [
    ({'name': 'mms', 'margin': MARGIN}, 1.8409320830676843),
    ({'name': 'infonce'}, 1.8398175812603617),
    ({'name': 'infonce', 'infonce': {'symmetric': False}}, 0.9215662277835629),
    ({'name': 'max_margin'}, 0.0920475763665149),
    (
      {'name': 'max_margin', 'max_margin': {'diagonal': False}},
      0.07045709163981785,
    ),
    ({'name': 'bce'}, 0.659185211076523),
    ({'name': 'bce', 'bce': {'balanced': True}}, 0.487941386763569),
  ],
)
def test_closed_numbers(options, expected):
  scores = _closed_scores()
  with jax.enable_x64(True):
    loss = jax.jit(losses.choose(**options))(
      scores, scores.T, np.arange(6), LEARNT
    )
    assert loss.dtype == 'float64'
    np.testing.assert_allclose(loss, expected, rtol=1e-13)


def test_infonce_of_the_columns_alone():
  scores, everyone = _closed_scores(), np.arange(6)
  with jax.enable_x64(True):
    loss = losses.infonce(scores.T, scores, everyone, symmetric=False)
  np.testing.assert_allclose(loss, 0.9182513534767986, rtol=1e-13)


@pytest.mark.parametrize('in_a_batch', [False, True])
def test_mil_nce_of_three_videos_with_two_candidates(in_a_batch):
  """In a batch, every second clip is a candidate alone."""
  scores, first = _closed_scores()[:3], np.arange(3) * 2
  candidates = np.tile([0, 1], (3, 1))
  if in_a_batch:
    everyone = np.arange(6)
    wide = np.full((6, 6), 7.0)
    wide[first] = scores
    scores, first = wide, everyone
    candidates = np.array([[0, 1], [-1, 0]] * 3)
  with jax.enable_x64(True):
    loss = jax.jit(losses.mil_nce)(
      scores, scores.T, first, candidates=candidates
    )
  np.testing.assert_allclose(loss, 1.8821400154829124, rtol=1e-13)


def _one_way(scores, margin):
  total = 0.0
  for i, row in enumerate(scores):
    logits = [s - margin * (i == j) for j, s in enumerate(row)]
    total += math.log(sum(map(math.exp, logits))) - logits[i]
  return total / len(scores)


def _max_margin(scores, margin, diagonal=True, intra_video=0.0):
  weighted = []
  for i in range(N):
    for j in range(N):
      if i == j and not diagonal:
        continue
      excess = max(0.0, margin + scores[i, j] - scores[i, i])
      excess += max(0.0, margin + scores[i, j] - scores[j, j])
      weighted.append((i // CLIPS == j // CLIPS, excess))
  excess = [x for _, x in weighted]
  if not intra_video:
    return np.mean(excess)
  same = np.mean([x for is_same, x in weighted if is_same])
  other = np.mean([x for is_same, x in weighted if not is_same])
  return intra_video * same + (1 - intra_video) * other


def _entropy(z, is_one):
  p = 1 / (1 + math.exp(-z))
  return -math.log(p if is_one else 1 - p)


def _bce(scores, balanced=False):
  e = np.array(
    [[_entropy(scores[i, j], i == j) for j in range(N)] for i in range(N)]
  )
  if not balanced:
    return e.mean()
  own = np.eye(N, dtype=bool)
  return (e[own].mean() + e[~own].mean()) / 2


def _mil_nce(scores):
  each = []
  for i in range(0, N, CLIPS):
    bag = [i + k for k in range(CLIPS)]
    own = sum(math.exp(scores[i, c]) for c in bag)
    row = sum(math.exp(scores[i, j]) for j in range(N))
    column = sum(
      math.exp(scores[j, c]) for j in range(0, N, CLIPS) for c in bag
    )
    each.append(math.log(row + column) - math.log(own))
  return np.mean(each)


def _sigmoid(scores):
  z = 3.0 * scores - 1.5
  return sum(_entropy(z[i, j], i == j) for i in range(N) for j in range(N)) / N


def _drawn(group, way=None):
  """The impostors that the compiled losses draw."""
  key = jax.random.key(5)
  key = key if way is None else jax.random.fold_in(key, way)
  return np.asarray(impostors.draw(key, np.arange(N), N, group))


def _sampled_margin(scores, margin=1.0, group=1, kinds=('sampled',)):
  total = 0.0
  for way, s in enumerate((scores, scores.T)):
    drawn = _drawn(group, way)
    for i in range(N):
      for kind in kinds:
        below = [j for j in range(N) if s[i, j] < s[i, i]]
        j = drawn[i]
        if kind == 'semi_hard' and below:
          j = max(below, key=lambda j: s[i, j])
        total += max(0.0, margin + s[i, j] - s[i, i])
  return total / N


def _two_way(scores, group=CLIPS):
  total = 0.0
  for i, j in enumerate(_drawn(group)):
    for place, is_one in ((i, True), (j, False)):
      distance = math.sqrt(max(2 - 2 * scores[i, place], 1e-6))
      total += _entropy(-1.5 - 0.7 * distance, is_one)
  return total / (2 * N)


NAIVE = {
  'mms': lambda s: _one_way(s, 0.2) + _one_way(s.T, 0.2),
  'infonce': lambda s: _one_way(s, 0) + _one_way(s.T, 0),
  'infonce one way': lambda s: _one_way(s, 0),
  'max_margin': lambda s: _max_margin(s, 0.3),
  'max_margin apart': lambda s: _max_margin(s, 0.3, False),
  'max_margin intra': lambda s: _max_margin(s, 0.1, True, 0.5),
  'max_margin intra apart': lambda s: _max_margin(s, 0.1, False, 0.3),
  'bce': _bce,
  'bce balanced': lambda s: _bce(s, True),
  'mil_nce': _mil_nce,
  'sigmoid': _sigmoid,
  'sampled_margin': _sampled_margin,
  'sampled_margin elsewhere': lambda s: _sampled_margin(s, 0.5, CLIPS),
  'sampled_margin semi-hard': lambda s: _sampled_margin(
    s, kinds=('semi_hard',)
  ),
  'sampled_margin both': lambda s: _sampled_margin(
    s, kinds=('sampled', 'semi_hard')
  ),
  'two_way': _two_way,
  'two_way anywhere': lambda s: _two_way(s, 1),
}


@pytest.mark.parametrize('choice', CHOICES)
def test_equals_a_naive_loop(choice):
  scores = np.random.default_rng(0).normal(size=(N, N))
  expected = NAIVE[choice](scores)
  with jax.enable_x64(True):
    found = _every_loss(scores)[choice]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
  found = _every_loss(jnp.asarray(scores, jnp.bfloat16))[choice]
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, expected, rtol=0.02)


def test_weights_of_howto100m():
  """`mm_mask` of its MaxMarginRankingLoss, written out."""
  rate = 0.5
  easy = (1 - rate) / ((VIDEOS - 1) * rate)
  mask = (1 - easy) * np.eye(VIDEOS) + easy
  mask = np.kron(mask, np.ones((CLIPS, CLIPS))) * VIDEOS * rate
  scores = np.random.default_rng(1).normal(size=(N, N))
  own = np.diag(scores)
  excess = np.maximum(0, 0.1 + scores - own[:, None])
  excess += np.maximum(0, 0.1 + scores - own)
  with jax.enable_x64(True):
    found = chosen('max_margin intra')(scores, scores.T, np.arange(N), {})
    np.testing.assert_allclose(found, (excess * mask).mean(), rtol=1e-12)


@pytest.mark.parametrize('clips', [1, N])
def test_one_video_or_one_clip_a_video_has_no_intra_video_weights(clips):
  scores, everyone = np.random.default_rng(2).normal(size=(N, N)), np.arange(N)
  plain = losses.max_margin(scores, scores.T, everyone)
  weighted = losses.max_margin(
    scores, scores.T, everyone, intra_video=0.5, clips_per_video=clips
  )
  assert plain == weighted > 0


def test_mil_nce_with_its_own_candidate_alone():
  """The least value is log 2: the own score is in the row and the column."""
  scores, everyone = np.eye(4) * 80, np.arange(4)
  with jax.enable_x64(True):
    loss = jax.jit(losses.mil_nce)(scores, scores.T, everyone)
  np.testing.assert_allclose(loss, math.log(2), rtol=1e-12)


def test_start_values_of_what_losses_learn():
  found = losses.initial_values(name='sigmoid', sigmoid={'initial_bias': -3.0})
  assert found.keys() == {'log_scale', 'bias'}
  np.testing.assert_allclose(np.exp(found['log_scale']), 10, rtol=1e-6)
  assert (found['bias'], found['bias'].dtype) == (-3.0, jnp.float32)
  found = losses.initial_values(name='two_way', two_way={'initial_scale': 2.5})
  assert found == {'scale': 2.5, 'bias': np.float32(1.4)}
  for name in loss_options.OPTIONS.keys() - {'sigmoid', 'two_way'}:
    assert losses.initial_values(name=name) == {}


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'name': 'infonec'}, "Did you mean 'infonce'. Expected one of .*sigmoid"),
    (
      {'name': 'bce', 'bce': {'balance': True}},
      "option of loss.bce is 'balance'.*Expected one of .'balanced'",
    ),
    ({'max_magrin': {}}, "Did you mean 'max_margin'.*'bce', 'sigmoid', 's"),
    ({'mms': {'margin': 1}}, "key of loss is 'mms'"),
    ({'bce': 3}, r'loss\.bce is 3'),
    ({'name': 'max_margin', 'margin': 0.1}, r'Set loss\.max_margin\.margin'),
    (
      {'name': 'sampled_margin', 'margin': 2.0},
      r'loss\.sampled_margin\.margin',
    ),
  ],
)
def test_a_misspelt_choice_is_refused_with_the_choices(options, message):
  with pytest.raises(ConfigError, match=message) as caught:
    losses.choose(**options)
  assert '\n' not in str(caught.value)
