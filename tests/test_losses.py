import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax import losses
from tests.helpers import golden

_DESCRIBED, _ARRAYS = golden.load('mms_loss')
# The release keeps the margin in float32 even among float64 scores.
_MARGIN = float(np.float32(0.001))
_RULES = {
  'extremes': np.where(np.add.outer(range(6), range(0, 12, 2)) % 3, -200, 200),
  'constant': np.full((5, 5), 7.5),
  'perfect': 400 * np.eye(4) - 200,
  'worst': 200 - 400 * np.eye(4),
}


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
  scores = golden.make_input(recipe) if recipe else _RULES[sub]
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
