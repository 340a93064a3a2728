"""Batches in pieces, and scores by rows: results and memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax import losses, parallel
from avl_jax.errors import UserError
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.train import objective as objectives
from avl_jax.train import optimizer as optimizers
from avl_jax.train import pieces as by_pieces
from avl_jax.train import step as training_step
from tests.helpers.losses import CHOICES, LEARNT

N, T, V = 12, 32, 5
MODEL = {
  **{'embed_dim': 6, 'widths': (4, 4), 'blocks': (1,), 'word_dim': 3},
  **{'normalize': True, 'dtype': 'float64'},
}
DIFFERENT = (  # of CHOICES
  *('mms', 'infonce one way', 'max_margin intra apart', 'bce balanced'),
  *('mil_nce', 'sigmoid', 'sampled_margin both', 'two_way'),
)
BRANCHES = ('audio', 'text')
PAIRS = (('audio', 'video'), ('text', 'audio+video'))
SIGMOID = {'name': 'sigmoid', 'sigmoid': {'initial_bias': -2.0}}


def _batch():
  rng = np.random.default_rng(0)
  return {
    'spectrogram': rng.normal(-40, 15, (N, T, 40)),
    'num_frames': rng.integers(5, T, N, dtype=np.int32),
    'visual': rng.normal(size=(N, V)),
    'words': rng.normal(size=(N, 2, 3)),
  }


def _variables(model):
  """Random variables whose running statistics have settled somewhere."""
  variables = init_variables(model, V, seed=1)
  learnt = losses.initial_values(**SIGMOID)
  variables['params']['loss'] = learnt
  variables['batch_stats'] = jax.tree.map(
    lambda x: x + 1.5, variables['batch_stats']
  )
  return jax.tree.map(lambda x: np.asarray(x, 'f8'), variables)


def _step(model, **options):
  """Loss, gradients and statistics of a step, in float64."""
  optimizer = optimizers.make_optimizer(learning_rate=1e-2)
  step = parallel.pmap_step(
    training_step.make_step(model, optimizer, pairs=PAIRS, **SIGMOID, **options)
  )
  state = training_step.create_state(_variables(model), optimizer)
  state, metrics = jax.block_until_ready(step(state, parallel.shard(_batch())))
  assert not metrics['skipped']
  # Adam's first moment is a tenth of the first gradient.
  gradients = jax.tree.map(lambda x: 10 * x, state.optimizer_state[0].mu)
  return jax.device_get(
    (metrics['loss'], gradients, state.variables['batch_stats'])
  )


def _assert_close(found, expected):
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12),
    found,
    expected,
  )


def test_pieces_are_the_whole_where_statistics_are_not_of_the_batch(
  use_devices,
):
  """The whole on one device, pieces on two with a frozen branch."""
  model = AVLnet(**MODEL, frozen_statistics=True)
  with jax.enable_x64(True):
    use_devices(1)
    loss, gradients, _ = _step(model)
    use_devices(2)
    found = _step(model, pieces=3, score_rows=2, frozen=('video',))
    before = _variables(model)['batch_stats']
  of_video = gradients.pop('video_head'), found[1].pop('video_head')
  _assert_close(found[:2], (loss, gradients))
  jax.tree.map(np.testing.assert_array_equal, found[2], before)
  assert gradients['loss']['log_scale']
  for branch in (of_video[0], *(gradients[f'{x}_head'] for x in BRANCHES)):
    assert np.abs(branch['linear']['kernel']).max() > 1e-4
  assert not any(x.any() for x in jax.tree.leaves(of_video[1]))


def test_statistics_are_those_of_a_piece_on_all_devices(use_devices):
  use_devices(2)
  with jax.enable_x64(True):
    model = AVLnet(**MODEL)
    found = _step(model, pieces=3)
    variables, alone = _variables(model), model.clone(axis_name=None)
    chosen = losses.choose(**SIGMOID)
    # Each device has six; the first two of each are the first piece.
    pieces = np.arange(N).reshape(2, 3, 2).swapaxes(0, 1).reshape(3, 4)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def naive(params):
      parts = [
        alone.apply(
          {**variables, 'params': params},
          {key: x[piece] for key, x in _batch().items()},
          train=True,
          mutable=['batch_stats'],
        )
        for piece in pieces
      ]
      embeddings, statistics = zip(*parts, strict=True)
      x = {
        key: jnp.concatenate([part[key] for part in embeddings])[
          np.argsort(pieces.ravel())
        ]
        for key in embeddings[0]
      }
      scores = [x['audio'] @ x['video'].T]
      scores.append(x['text'] @ (x['audio'] + x['video']).T)
      loss = sum(
        chosen(each, each.T, jnp.arange(N), params['loss']) for each in scores
      )
      mean = jax.tree.map(lambda *x: sum(x) / len(x), *statistics)
      return loss, mean['batch_stats']

    (loss, statistics), gradients = naive(variables['params'])
  _assert_close(found, (loss, gradients, statistics))


def test_memory_does_not_grow_with_the_number_of_pieces(use_devices):
  """Beyond the batch and its embeddings; the whole grows by activations."""
  use_devices(1)
  model = AVLnet(embed_dim=8, widths=(8, 8), blocks=(1,), axis_name=None)
  variables = init_variables(model, V)

  def embed(params, state, part):
    embeddings, updates = model.apply(
      {**state.variables, 'params': params},
      part,
      train=True,
      mutable=['batch_stats'],
    )
    return embeddings, updates['batch_stats']

  def objective(embeddings, params, step, batch):
    return (embeddings['audio'] * embeddings['video']).sum()

  def temporary(count, pieces):
    state = training_step.TrainState(0, variables, None, 0)
    batch = {
      'spectrogram': np.zeros((count, T, 40), 'f4'),
      'visual': np.zeros((count, V), 'f4'),
    }

    gradient = by_pieces.make_gradient_by_pieces(embed, objective, pieces)
    compiled = jax.jit(gradient).lower(variables['params'], state, batch)
    size = sum(x.nbytes for x in batch.values()) + 2 * 8 * 4 * count
    return compiled.compile().memory_analysis().temp_size_in_bytes, size

  (less, small), (more, large) = temporary(16, 4), temporary(64, 16)
  assert more - less < (large - small) / 2
  assert temporary(64, 1)[0] > 5 * more


def _objective(choice, score_rows):
  loss = losses.choose(clips_per_video=4, **CHOICES[choice])
  return objectives.make_objective(
    (('x', 'y'),), loss, seed=3, score_rows=score_rows
  )


def test_rows_of_scores_give_the_same(use_devices):
  """Values and gradients of every loss, in one program."""
  use_devices(2)
  n = 16
  rng = np.random.default_rng(1)
  embeddings = dict(zip('xy', rng.normal(size=(2, n, 5)), strict=True))
  bags = np.arange(4) - np.tile(np.arange(4), n // 4)[:, None]

  def step(learnt, part):
    candidates = part.pop('candidates')

    def of(choice, score_rows):
      return jax.value_and_grad(_objective(choice, score_rows), (0, 1))(
        part, {'loss': learnt}, jnp.int32(2), {'candidates': candidates}
      )

    found = {
      choice: [of(choice, score_rows) for score_rows in (0, 2)]
      for choice in DIFFERENT
    }
    return learnt, parallel.mean(found)

  with jax.enable_x64(True):
    part = parallel.shard({**embeddings, 'candidates': bags})
    _, found = jax.block_until_ready(
      parallel.pmap_step(step)(parallel.replicate(LEARNT), part)
    )
  for choice, (whole, by_rows) in jax.device_get(found).items():
    _assert_close(by_rows, whole)
    assert np.abs(whole[1][0]['x']).max() > 1e-4, choice


@pytest.mark.parametrize('choice', ['mms', 'mil_nce'])
def test_rows_of_scores_need_no_square_matrix(choice, use_devices):
  use_devices(1)

  def temporary(n, score_rows):
    gradient = jax.value_and_grad(_objective(choice, score_rows))

    def step(state, part):
      return state, gradient(part, {}, jnp.int32(0), {})

    part = {key: np.zeros((1, n, 4), 'f4') for key in 'xy'}
    lowered = parallel.pmap_step(step).lower(jnp.zeros(()), part)
    return lowered.compile().memory_analysis().temp_size_in_bytes

  n = 512
  once = temporary(n, 16)
  assert once < 4 * n * n / 2  # 4 n^2 bytes: the scores of all pairs
  assert temporary(2 * n, 16) < 2.5 * once


def test_what_cannot_be_divided_is_refused(use_devices):
  use_devices(2)
  with pytest.raises(UserError, match=r'batch of 8 clips.*2 devices of 3 piec'):
    parallel.check_divisible(8, pieces=3)
  parallel.check_divisible(12, pieces=3)
  with pytest.raises(UserError, match=r'score_rows is 3.*has 8 pairs'):
    objectives.check_score_rows(8, 3)
  objectives.check_score_rows(8, 16)
