"""Text branches against numpy, and models to which text is added later."""

import functools

import flax.traverse_util
import jax
import numpy as np
import pytest

from avl_jax.errors import ConfigError
from avl_jax.models import avlnet, davenet, expressions, heads, transfer
from tests.helpers import golden

_SMALL = {'embed_dim': 6, 'widths': (4, 8), 'blocks': (1,)}
_TEXT = {**_SMALL, 'word_dim': 5}


def _batch(n=3, words=4):
  batch = {
    'spectrogram': 10 * golden.normal('text/spectrogram', (n, 24, 40)),
    'num_frames': np.array([24, 12, 7], np.int32),
    'visual': golden.normal('text/visual', (n, 7)),
    'words': golden.normal('text/words', (n, words, 5)),
  }
  batch['words'][1, 2:] = 0
  batch['words'][2] = 0
  return batch


@functools.cache
def _variables(**options):
  return avlnet.init_variables(avlnet.AVLnet(**options), 7, seed=1)


def _embed(variables, batch, **options):
  network = avlnet.AVLnet(**options)
  return network.apply(variables, batch, train=False)


def _linear(parameters, x):
  return x @ parameters['kernel'] + parameters.get('bias', 0)


def _gated(y, gate):
  return y / (1 + np.exp(-_linear(gate['linear'], y)))


def _largest(words):
  """Maximum of each dimension over the words, by a loop; no word: zeros."""
  result = np.zeros(words.shape[::2], np.float32)
  for caption, row in zip(words, result, strict=True):
    real = [word for word in caption if word.any()]
    row[:] = np.max(real, axis=0) if real else 0
  return result


def test_tri_is_equation_4_1():
  variables, batch = _variables(**_TEXT), _batch()
  embeddings = _embed(variables, batch, **_TEXT)
  head = variables['params']['text_head']
  y = _linear(head['linear'], _largest(batch['words']))
  np.testing.assert_allclose(
    embeddings['text'], _gated(y, head['gate']), rtol=1e-4, atol=1e-6
  )
  # The other branches do not depend on it.
  without = _embed(variables, batch, **_SMALL)
  assert set(embeddings) == {'audio', 'video', 'text'}
  assert set(without) == {'audio', 'video'}
  for name, x in without.items():
    np.testing.assert_array_equal(x, embeddings[name])


def test_fused_is_equation_4_3():
  options = {**_TEXT, 'fused': True}
  variables, batch = _variables(**options), _batch()
  network = avlnet.AVLnet(**options)
  embeddings, state = network.apply(
    variables,
    batch,
    train=False,
    mutable='intermediates',
    capture_intermediates=True,
  )
  (frames,) = state['intermediates']['audio_encoder']['__call__']
  head = variables['params']['audio_text_head']
  a = _linear(
    head['audio'], davenet.masked_mean(frames, batch['num_frames'], 24)
  )
  t = _linear(head['text'], _largest(batch['words']))
  assert head['audio'].keys() == head['text'].keys() == {'kernel'}
  for name, sum_of_terms in {
    'audio': a,
    'text': t,
    'audio_text': a + t,
  }.items():
    expected = _gated(sum_of_terms + head['bias'], head['gate'])
    np.testing.assert_allclose(
      embeddings[name], expected, rtol=1e-4, atol=1e-5, err_msg=name
    )
  # A clip that has only one of the two.
  for name, absent in (('audio', 'words'), ('text', 'spectrogram')):
    part = {key: x for key, x in batch.items() if key != absent}
    alone = _embed(variables, part, **options)
    assert set(alone) == {name, 'video'}
    np.testing.assert_array_equal(alone[name], embeddings[name])


def test_the_number_of_slots_matters_only_in_the_release():
  batch = _batch()
  longer = np.pad(batch['words'], ((0, 0), (0, 3), (0, 0)))
  np.testing.assert_array_equal(
    heads.max_over_words(batch['words']), heads.max_over_words(longer)
  )
  np.testing.assert_allclose(
    heads.max_over_words(batch['words']), _largest(batch['words'])
  )
  negative = -np.abs(batch['words'])
  assert (heads.max_over_words(negative)[:2] < 0).all()
  pool = heads.WordMaxPool(6)
  variables = pool.init(jax.random.key(0), batch['words'])
  y = np.maximum(_linear(variables['params']['linear'], longer), 0)
  np.testing.assert_allclose(
    pool.apply(variables, longer), y.max(1), rtol=1e-5, atol=1e-6
  )
  # Zero slots contribute ReLU(b).
  word = batch['words'][:1, :1]
  padded = np.pad(word, ((0, 0), (0, 1), (0, 0)))
  assert np.abs(
    pool.apply(variables, padded) - pool.apply(variables, word)
  ).any()


@pytest.mark.parametrize('scale', [0.0, 1.0])
def test_text_is_added_to_avlnet(scale):
  fused = {**_TEXT, 'fused': True, 'initial_text_scale': scale}
  source, fresh, batch = _variables(**_SMALL), _variables(**fused), _batch()
  variables = transfer.carry_over(source, fresh)
  before = _embed(source, batch, **_SMALL)
  after = _embed(variables, batch, **fused)
  for name in ('audio', 'video'):
    np.testing.assert_allclose(after[name], before[name], rtol=1e-5)
  text = variables['params']['audio_text_head']['text']['kernel']
  fresh_text = fresh['params']['audio_text_head']['text']['kernel']
  np.testing.assert_array_equal(text, fresh_text)
  difference = np.abs(after['audio_text'] - before['audio']).max(1)
  if scale:
    assert (difference[:2] > 1e-3).all()
    assert np.abs(text).max() <= 5**-0.5
  else:
    np.testing.assert_array_equal(difference, 0)
    gradient = jax.grad(_fused_loss)(variables['params'], variables, batch)
    learns = gradient['audio_text_head']['text']['kernel']
    assert np.abs(learns).max() > 1e-6


def _fused_loss(params, variables, batch):
  network = avlnet.AVLnet(**_TEXT, fused=True)
  embeddings = network.apply(
    {**variables, 'params': params}, batch, train=False
  )
  return (embeddings['audio_text'] * embeddings['video']).sum()


def test_text_is_added_to_the_release():
  audio_video = {**_SMALL, 'fused': True, 'structure': 'release'}
  fused = audio_video | {'word_dim': 5, 'initial_text_scale': 0.0}
  source, fresh, batch = (
    _variables(**audio_video),
    _variables(**fused),
    _batch(),
  )
  variables = transfer.carry_over(source, fresh)
  before = _embed(source, batch, **audio_video)
  after = _embed(variables, batch, **fused)
  assert set(before) == {'audio', 'video'}
  assert set(after) == {'audio', 'video', 'text', 'audio_text'}
  for name, whole in {'audio': 'audio_text', 'video': 'video'}.items():
    np.testing.assert_array_equal(before[name], after[name])
    np.testing.assert_array_equal(before[name], after[whole])
  new = flax.traverse_util.flatten_dict(variables['params']).keys()
  new -= flax.traverse_util.flatten_dict(source['params']).keys()
  assert {path[:2] for path in new} == {
    ('text_pool', 'linear'),
    ('audio_text_head', 'text'),
  }


@pytest.mark.parametrize(
  ('source', 'fresh', 'message'),
  [
    # The release's AVLnet gates before it projects, its Fused after.
    (
      {'structure': 'release'},
      {'structure': 'release', 'fused': True, 'word_dim': 5},
      r'params/audio_head/gate.*model\.fused=True',
    ),
    ({'word_dim': 5}, {}, 'params/text_head'),
    ({}, {'embed_dim': 8, 'word_dim': 5}, 'params/video_head/linear/kernel'),
  ],
)
def test_only_text_may_be_new(source, fresh, message):
  with pytest.raises(ConfigError, match=message):
    transfer.carry_over(
      _variables(**_SMALL | source), _variables(**_SMALL | fresh)
    )


def test_missing_parts_of_text_are_named():
  batch, variables = _batch(), _variables(**_TEXT)
  with pytest.raises(ConfigError, match=r'are 5 wide.*model.word_dim=5'):
    _embed(variables, batch, **_SMALL, word_dim=300)
  del batch['words']
  embeddings = _embed(variables, batch, **_TEXT)
  with pytest.raises(ConfigError, match=r"'text'.*'audio', 'video'.*vectors"):
    expressions.combine(embeddings, 'text')
