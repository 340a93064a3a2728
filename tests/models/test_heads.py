"""Linear and non-linear heads against numpy; unit embeddings."""

import functools

import jax
import numpy as np
import pytest

from avl_jax.errors import ConfigError
from avl_jax.models import avlnet, heads
from avl_jax.torch_files import weight_map
from tests.helpers import golden

_SMALL = {'embed_dim': 6, 'widths': (4, 8), 'blocks': (1,), 'word_dim': 5}


def _batch():
  return {
    'spectrogram': 10 * golden.normal('heads/spectrogram', (3, 24, 40)),
    'num_frames': np.array([24, 12, 7], np.int32),
    'visual': golden.normal('heads/visual', (3, 7)),
    'words': golden.normal('heads/words', (3, 4, 5)),
  }


@functools.cache
def _embed(**options):
  """Variables of a model, and its embeddings of the batch."""
  network = avlnet.AVLnet(**_SMALL, **options)
  variables = jax.device_get(avlnet.init_variables(network, 7, seed=1))
  embed = jax.jit(functools.partial(network.apply, train=False))
  embeddings = embed(variables, _batch())
  return variables['params'], jax.device_get(embeddings)


def _linear(parameters, x):
  return x @ parameters['kernel'] + parameters.get('bias', 0)


def _last(head, parameters, y):
  if head == 'linear':
    assert parameters.keys().isdisjoint({'gate', 'output'})
    return y
  assert 'gate' not in parameters
  assert parameters['output']['kernel'].shape == (6, 6)
  return _linear(parameters['output'], np.where(y > 0, y, 0))


@pytest.mark.parametrize('head', ['linear', 'nonlinear'])
def test_heads_are_what_they_say(head):
  params, embeddings = _embed(head=head)
  names = {'video': _batch()['visual'], 'text': _batch()['words'].max(1)}
  for name, x in names.items():
    own = params[f'{name}_head']
    expected = _last(head, own, _linear(own['linear'], x))
    assert expected.min() < 0 < expected.max()
    np.testing.assert_allclose(embeddings[name], expected, rtol=1e-4, atol=1e-6)
  assert params['audio_head'].keys() == params['text_head'].keys()


@pytest.mark.parametrize('head', ['linear', 'nonlinear'])
def test_fused_heads_are_what_they_say(head):
  params, embeddings = _embed(head=head, fused=True)
  own = params['audio_text_head']
  # Without a gate, the term of the text is as by hand.
  y = _linear(own['text'], _batch()['words'].max(1)) + own['bias']
  np.testing.assert_allclose(
    embeddings['text'], _last(head, own, y), rtol=1e-4, atol=1e-6
  )
  if head == 'linear':  # The bias is in both terms.
    both = embeddings['audio'] + embeddings['text'] - own['bias']
    np.testing.assert_allclose(
      embeddings['audio_text'], both, rtol=1e-4, atol=1e-5
    )


def test_fused_models_embed_pictures_alone():
  options = {'head': 'linear', 'fused': True}
  params, embeddings = _embed(**options)
  batch = {'visual': _batch()['visual']}
  network = avlnet.AVLnet(**_SMALL, **options)
  alone = network.apply({'params': params}, batch, train=False)
  assert list(alone) == ['video']
  np.testing.assert_allclose(alone['video'], embeddings['video'], rtol=1e-5)


def test_nonlinear_heads_have_as_many_parameters_as_gated_ones():
  gated, nonlinear = (
    sorted(x.shape for x in jax.tree.leaves(_embed(head=head)[0]))
    for head in ('gated', 'nonlinear')
  )
  assert gated == nonlinear


def test_embeddings_of_length_1_have_the_same_direction():
  (params, plain), (same, unit) = _embed(), _embed(normalize=True)
  jax.tree.map(np.testing.assert_array_equal, params, same)
  assert plain.keys() == unit.keys()
  for name, x in plain.items():
    length = np.linalg.norm(x, axis=1, keepdims=True)
    assert np.abs(length - 1).min() > 1e-3
    np.testing.assert_allclose(unit[name], x / length, rtol=1e-5, atol=1e-7)


def test_an_unknown_head_is_refused_with_the_choices():
  with pytest.raises(ConfigError, match=r"'linera' of head.*'nonlinear'"):
    avlnet.AVLnet(head='linera')


@pytest.mark.parametrize('head', heads.HEADS)
def test_the_authors_code_has_gated_heads_alone(head):
  network = avlnet.AVLnet(
    embed_dim=8, widths=(4, 4, 4, 4, 6), structure='release', head=head
  )
  shapes = jax.eval_shape(lambda: avlnet.init_variables(network, 7))
  assert (weight_map.weights_of(shapes) is not None) == (head == 'gated')
