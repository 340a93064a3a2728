"""Training with frozen branches, and the fingerprint of a branch."""

import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax import parallel
from avl_jax.checkpoints.fingerprints import branch_fingerprint
from avl_jax.errors import ConfigError
from avl_jax.models import branches
from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.train import initialization
from avl_jax.train import optimizer as optimizers
from avl_jax.train import step as training_step

N, T, V = 4, 32, 5
MODEL = {'embed_dim': 6, 'widths': (4, 4), 'blocks': (1,), 'word_dim': 3}
PAIRS = (('audio', 'video'), ('text', 'video'), ('audio', 'text'))
BRANCHES = ('audio', 'video', 'text')


def _batch(seed):
  rng = np.random.default_rng(seed)
  return {
    'spectrogram': rng.normal(-40, 15, (N, T, 40)).astype('f4'),
    'num_frames': np.full(N, T, np.int32),
    'visual': rng.normal(size=(N, V)).astype('f4'),
    'words': rng.normal(size=(N, 2, 3)).astype('f4'),
  }


@functools.cache
def _variables(fused=False):
  model = AVLnet(**MODEL, fused=fused)
  return jax.device_get(init_variables(model, V, seed=1))


@functools.cache
def _compiled(frozen):
  """The optimizer and the step."""
  optimizer = optimizers.make_optimizer(learning_rate=1e-2)
  step = training_step.make_step(
    AVLnet(**MODEL), optimizer, pairs=PAIRS, margin=0.001, frozen=frozen
  )
  return optimizer, parallel.pmap_step(step)


@functools.cache
def _trained(frozen):
  """Variables after two steps; the momenta before them are not zero."""
  optimizer, step = _compiled(frozen)
  state = training_step.create_state(_variables(), optimizer)
  moving = jax.tree.map(
    lambda x: x + 1 if x.dtype.kind == 'f' else x, state.optimizer_state
  )
  state = state.replace(optimizer_state=moving)
  for seed in range(2):
    state, _ = jax.block_until_ready(step(state, parallel.shard(_batch(seed))))
  return jax.device_get(state.variables)


def _changed(before, after):
  """Modules with a variable whose bits have changed."""
  flags = jax.tree.map(lambda x, y: x.tobytes() != y.tobytes(), before, after)
  return {
    tuple(key.key for key in path[1:3])
    for path, changed in jax.tree.leaves_with_path(flags)
    if changed
  }


@pytest.mark.parametrize('frozen', [('audio',), ('video', 'text')])
def test_a_frozen_branch_keeps_its_bits_and_the_others_move(
  frozen, use_devices
):
  use_devices(1)
  changed = _changed(_variables(), _trained(frozen))
  moved = {b for b in BRANCHES for path in changed if branches.owns(b, path)}
  assert moved == set(BRANCHES) - set(frozen)


def test_what_a_fused_head_shares_is_frozen_with_audio():
  old = _variables(fused=True)
  new = jax.tree.map(lambda x: x + 1, old)
  changed = _changed(old, branches.restore(new, old, ('audio',)))
  text, video = ('audio_text_head', 'text'), {p for p in _modules(old)}
  assert changed == {text} | {p for p in video if p[0] == 'video_head'}
  changed = _changed(old, branches.restore(new, old, ('text',)))
  assert {p for p in changed if p[0] == 'audio_text_head'} == {
    ('audio_text_head', 'audio')
  }


def _modules(tree):
  return _changed(tree, jax.tree.map(lambda x: x + 1, tree))


def test_without_frozen_branches_nothing_is_done():
  """So the program, and with it each bit of a run, is what it was."""
  model, new = AVLnet(**MODEL), _variables()
  assert branches.freeze(model, ()) is model
  assert branches.stop_gradient(new['params'], ()) is new['params']
  assert branches.restore(new, {}, ()) is new


def test_other_gradients_are_those_of_a_part_stopped_by_hand(use_devices):
  """Adam's first momentum after a step is 0.1 of the gradient."""
  use_devices(1)
  optimizer, step = _compiled(('audio',))
  state = training_step.create_state(_variables(), optimizer)
  state, _ = step(state, parallel.shard(_batch(0)))
  found = jax.device_get(state.optimizer_state[0].mu)
  model = AVLnet(**MODEL)
  embed = jax.jit(functools.partial(model.apply, train=False))
  sound = {key: _batch(0)[key] for key in ('spectrogram', 'num_frames')}
  constant = embed(_variables(), sound)['audio']

  def loss(params):
    variables = {'params': params}
    batch = {key: _batch(0)[key] for key in ('visual', 'words')}
    x = {**model.apply(variables, batch, train=False)}
    x['audio'] = constant
    return sum(_mms(x[a] @ x[b].T) for a, b in PAIRS)

  params = {
    key: value
    for key, value in _variables()['params'].items()
    if not branches.owns('audio', (key,))
  }
  expected = jax.jit(jax.grad(loss))(params)
  assert min(np.abs(x).max() for x in jax.tree.leaves(expected)) > 1e-3
  for key, gradients in found.items():
    if key not in expected:
      assert not any(x.any() for x in jax.tree.leaves(gradients))
      continue
    for x, y in zip(
      *map(jax.tree.leaves, (gradients, expected[key])), strict=True
    ):
      np.testing.assert_allclose(x, 0.1 * y, rtol=1e-4, atol=1e-7)


def _mms(scores):
  scores = scores - 0.001 * jnp.eye(N)
  chosen = jax.nn.log_softmax(scores, 1) + jax.nn.log_softmax(scores, 0)
  return -jnp.trace(chosen) / N


def test_a_frozen_image_encoder_keeps_its_statistics():
  model = branches.freeze(
    AVLnet(image_blocks=(1,), frozen_image=False), ('video',)
  )
  assert model.frozen_image
  audio = branches.freeze(AVLnet(), ('audio',))
  assert (audio.frozen_statistics, audio.pooling) == (True, 'masked')
  assert AVLnet() == branches.freeze(AVLnet(), ('text',))


@pytest.mark.parametrize(
  ('frozen', 'expected'),
  [
    (('picture',), r"no branch 'picture'. Expected some of \('audio', 'vi"),
    (('text',), r"no branch 'text'. Expected some of \('audio', 'video'\)"),
    (('audio', 'video'), 'nothing is trained'),
  ],
)
def test_names_that_are_not_possible(frozen, expected):
  with pytest.raises(ConfigError, match=expected):
    training_step.make_step(
      AVLnet(), optimizers.make_optimizer(learning_rate=1), pairs=PAIRS[:1],
      margin=0.001, frozen=frozen
    )  # fmt: skip


def test_a_random_branch_is_not_frozen():
  with pytest.raises(ConfigError, match=r"'video'.*random weights.*initial_"):
    initialization.load_pretrained(
      AVLnet(), image_weights='', initial_workdir='', frozen=('video',)
    )


def test_a_fingerprint_is_of_one_branch(use_devices):
  use_devices(1)
  model, before = AVLnet(**MODEL), _variables()
  after = _trained(('video', 'text'))
  prints = {
    branch: [branch_fingerprint(model, v, branch) for v in (before, after)]
    for branch in BRANCHES
  }
  assert prints['video'][0] == prints['video'][1]
  assert prints['text'][0] == prints['text'][1]
  assert len({x for pair in prints.values() for x in pair}) == 4
  unit = branch_fingerprint(model.clone(normalize=True), before)
  assert unit != prints['video'][0]
  with pytest.raises(ConfigError, match="no branch 'text'"):
    branch_fingerprint(AVLnet(), before, 'text')


def test_a_fingerprint_stays():
  """Indexes on disks hold it."""
  kernel = np.arange(6, dtype='f4').reshape(2, 3)
  tree = {'params': {'video_head': {'linear': {'kernel': kernel}}}}
  text = "['params']['video_head']['linear']['kernel'] float32 (2, 3)"
  expected = hashlib.sha256(
    b'normalize=False' + text.encode() + kernel.tobytes()
  )
  found = branch_fingerprint(AVLnet(), tree)
  assert found == expected.hexdigest()[:16]
