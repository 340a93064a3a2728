"""Masked Margin Softmax: golden numbers, closed numbers, a naive loop."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax import losses
from tests.helpers import golden

_DESCRIBED, _ARRAYS = golden.load('mms_loss')
# The release keeps the margin in float32 even with float64 scores.
_MARGIN = float(np.float32(0.001))


def _scores_by_rule(rule: str, n: int) -> np.ndarray:
  """Scores [n, n] of a case's `params.S_rule`, which names its numbers."""
  numbers = [float(x) for x in re.findall(r'-?\d+\.?\d*', rule)]
  if 'on the diagonal' in rule:  # nxn, X on the diagonal, Y elsewhere
    own, other = numbers[-2:]
    return np.where(np.eye(n), own, other)
  if 'filled with' in rule:  # nxn filled with X
    return np.full((n, n), numbers[-1])
  # S[i,j] = X if (i + 2*j) % 3 == 0 else Y
  match = re.search(r'= (\S+) if \(i \+ 2\*j\) % 3 == 0 else ([-\d.]+)', rule)
  i, j = np.indices((n, n))
  return np.where((i + 2 * j) % 3 == 0, float(match[1]), float(match[2]))


@functools.partial(jax.jit, static_argnames='margin')
@functools.partial(jax.value_and_grad)
def _loss_and_gradient(scores, margin):
  return losses.masked_margin_softmax(
    scores, scores.T, jnp.arange(len(scores)), margin=margin
  )


def _naive(rows, columns, partners, margin):
  total = 0.0
  for scores in (rows, columns):
    for row, partner in zip(scores, partners, strict=True):
      logits = [s - margin * (j == partner) for j, s in enumerate(row)]
      total += np.log(np.sum(np.exp(logits))) - logits[partner]
  return total / len(rows)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@pytest.mark.parametrize('sub', _DESCRIBED['sub'])
def test_golden_loss_and_gradient(sub, dtype):
  case = _DESCRIBED['sub'][sub]
  recipe = case['inputs'].get('S')
  scores = (
    golden.make_input(recipe)
    if recipe
    else _scores_by_rule(case['params']['S_rule'], case['params']['n'])
  )
  expected = golden.sub_arrays(_ARRAYS, sub)
  margin = float(np.float32(case['params']['margin']))
  with jax.enable_x64(dtype == 'float64'):
    loss, gradient = _loss_and_gradient(jnp.asarray(scores, dtype), margin)
  assert loss.dtype == gradient.dtype == dtype
  np.testing.assert_allclose(gradient, expected['grad'], rtol=1e-5, atol=1e-6)
  if dtype == 'float64':
    np.testing.assert_allclose(loss, expected['loss_f64'], rtol=1e-12)
  else:
    # The margin itself is rounded among scores of magnitude 200.
    atol = 1e-4 if np.abs(scores).max() > 100 else 1e-6
    np.testing.assert_allclose(loss, expected['loss'], rtol=1e-5, atol=atol)


@pytest.mark.parametrize(
  ('margin', 'expected'),
  [(_MARGIN, 1.8409320830676843), (0.0, 1.8398175812603617)],
)
def test_closed_numbers(margin, expected):
  scores = np.sin(np.add.outer(1.7 * np.arange(6), 0.9 * np.arange(6)))
  with jax.enable_x64(True):
    loss, _ = _loss_and_gradient(scores + 1.5 * np.eye(6), margin)
  np.testing.assert_allclose(loss, expected, rtol=1e-13)


def test_equals_naive_loop_for_any_partners():
  rng = np.random.default_rng(0)
  rows, columns = rng.normal(size=(2, 4, 9)).astype(np.float32)
  partners = np.array([7, 0, 3, 8])
  loss = losses.masked_margin_softmax(rows, columns, partners, margin=0.3)
  np.testing.assert_allclose(
    loss, _naive(rows, columns, partners, 0.3), rtol=1e-5
  )


def test_blocks_of_rows_make_the_whole():
  scores = golden.normal('losses/blocks', (12, 12))
  everyone = jnp.arange(12)
  whole = losses.masked_margin_softmax(scores, scores.T, everyone)
  parts = [
    losses.masked_margin_softmax(scores[i], scores.T[i], i)
    for i in everyone.reshape(3, 4)
  ]
  np.testing.assert_allclose(np.mean(parts), whole, rtol=1e-6)


def test_bfloat16_scores_are_widened():
  scores = jnp.asarray(golden.normal('losses/bfloat16', (6, 6)), jnp.bfloat16)
  loss = losses.masked_margin_softmax(scores, scores.T, jnp.arange(6))
  wide = scores.astype(jnp.float32)
  assert loss.dtype == jnp.float32
  assert loss == losses.masked_margin_softmax(wide, wide.T, jnp.arange(6))
