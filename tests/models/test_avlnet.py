"""AVLnet against golden numbers, closed forms and naive loops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avl_jax.errors import ConfigError
from avl_jax.models import avlnet, davenet, expressions, heads
from avl_jax.retrieval import metrics
from tests.helpers import convert, golden

_AUDIO_VIDEO, _AUDIO_VIDEO_ARRAYS = golden.load('avlnet_eval')
_TEXT, _TEXT_ARRAYS = golden.load('text_models')
_EVALUATIONS = {
  sub: (described, case, golden.sub_arrays(arrays, sub))
  for described, arrays in (
    (_AUDIO_VIDEO, _AUDIO_VIDEO_ARRAYS),
    (_TEXT, _TEXT_ARRAYS),
  )
  for sub, case in described['sub'].items()
  if f'{sub}/pooled' in arrays
}
_TINY = {
  'embed_dim': 16,
  'widths': (8, 8, 8, 16, 32),
  'blocks': (1, 1, 1, 1),
}


def _batch(n=4, frames=64, visual=24):
  return {
    'spectrogram': 10 * golden.normal('model/spectrogram', (n, frames, 40)),
    'num_frames': np.arange(frames, frames - 16 * n, -16, dtype=np.int32),
    'visual': golden.normal('model/visual', (n, visual)),
  }


@functools.cache
def _tiny_variables():
  network = avlnet.AVLnet(**_TINY)
  return jax.jit(network.init, static_argnames='train')(
    jax.random.key(0), _batch(), train=False
  )


@functools.partial(jax.jit, static_argnums=0)
def _evaluate(network, variables, batch):
  return network.apply(
    variables,
    batch,
    train=False,
    capture_intermediates=True,
    mutable='intermediates',
  )


@pytest.mark.parametrize(
  'sub',
  [
    # `full_db` is of this size, too, and their small forms are tested.
    pytest.param(sub, marks=pytest.mark.slow)
    if sub in ('tri_full', 'fused_full')
    else sub
    for sub in sorted(_EVALUATIONS)
  ],
)
def test_golden_evaluation(sub):
  described, case, expected = _EVALUATIONS[sub]
  net = case['params']['net']
  network = avlnet.AVLnet(**convert.options(net))
  batch = convert.golden_batch(case['inputs'], case['params']['nframes'])
  actual, state = _evaluate(network, convert.golden_variables(net), batch)
  inside = state['intermediates']
  (frames,) = inside['audio_encoder']['__call__']
  thinned = golden.subsample(described, f'{sub}/dave_sub')
  actual['dave_sub'] = frames.swapaxes(1, 2)[thinned]
  actual['pooled'] = davenet.masked_mean(
    frames, batch['num_frames'], batch['spectrogram'].shape[1]
  )
  if not network.fused:
    (actual['gu_audio'],) = inside['audio_head']['__call__']
  if network.word_dim:
    (words,) = inside['text_pool']['__call__']
    thinned = golden.subsample(described, f'{sub}/text_pool_sub')
    actual['text_pool_sub'] = words[thinned]
  assert expected.keys() - actual.keys() == {'nframes_after'}
  for name in expected.keys() & actual.keys():
    atol = 2e-5 * np.abs(expected[name]).max() + 1e-6
    np.testing.assert_allclose(
      actual[name], expected[name], rtol=0, atol=atol, err_msg=name
    )


@pytest.mark.parametrize(
  ('sub', 'query', 'gallery'),
  [
    ('retrieval_av', 'audio', 'video'),
    ('retrieval_fused', 'audio_text', 'video'),
    ('retrieval_additive', 'text', 'audio+video'),
  ],
)
def test_golden_retrieval(sub, query, gallery):
  case, expected = _TEXT['sub'][sub], _TEXT_ARRAYS[f'{sub}/m']
  net = case['params']['net']
  batch = convert.golden_batch(case['inputs'], case['params']['nframes'])
  embeddings, _ = _evaluate(
    avlnet.AVLnet(**convert.options(net)), convert.golden_variables(net), batch
  )
  x, y = (expressions.combine(embeddings, e) for e in (query, gallery))
  scores = np.asarray(x @ y.T)
  atol = 5e-5 * np.abs(expected).max()
  np.testing.assert_allclose(scores, expected, rtol=0, atol=atol)
  better, equal = metrics.counts(scores, np.arange(len(scores)))
  summary = metrics.summary(metrics.ranks(better, equal, ties='release'))
  names = {'R1': 'R@1', 'R5': 'R@5', 'R10': 'R@10', 'MR': 'median_rank'}
  assert {name: summary[key] for name, key in names.items()} == case['metrics']


def _gated(fan_in, features):
  return fan_in * features + features + features * features + features


@pytest.mark.parametrize(
  ('options', 'head', 'total'),
  [
    (
      {'structure': 'release'},
      _gated(1024, 1024) + 1024 * 4096 + 4096,
      84_531_200,
    ),
    ({'structure': 'thesis'}, _gated(1024, 4096), 99_213_312),
    # Those of golden I, without the two of batchnorm1 and Fused's GU_audio.
    (
      {'structure': 'release', 'word_dim': 300, 'embed_dim': 6144},
      _gated(1024, 1024) + 1025 * 6144 + 301 * 6144 + _gated(6144, 6144),
      193_353_728,
    ),
    (
      {'structure': 'release', 'word_dim': 300, 'fused': True},
      (1025 + 301) * 2048 + 2 * 2049 * 4096 + 4097 * 4096,
      114_515_968,
    ),
    (
      {'word_dim': 300, 'embed_dim': 6144},
      _gated(1024, 6144) + _gated(300, 6144),
      191_254_528,
    ),
    (
      {'word_dim': 300, 'fused': True},
      _gated(1024, 4096) + 300 * 4096,
      100_442_112,
    ),
  ],
)
def test_number_of_parameters(options, head, total):
  network = avlnet.AVLnet(**options)
  batch = _batch(visual=4096) | {'words': np.ones((4, 20, 300), np.float32)}
  shapes = jax.eval_shape(
    functools.partial(network.init, train=False), jax.random.key(0), batch
  )['params']

  def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))

  # 44,670,978 in the release, two of which are never applied.
  assert count(shapes['audio_encoder']) == 44_670_976
  video = _gated(4096, network.embed_dim)
  assert count(shapes['video_head']) == video
  assert count(shapes) == 44_670_976 + head + video == total


@pytest.mark.parametrize(
  ('frames', 'encoded'), [(800, 50), (1000, 63), (1024, 64), (5120, 320)]
)
def test_audio_encoder_divides_time_by_16(frames, encoded):
  shape = jax.eval_shape(
    lambda x: davenet.DAVEnet().init_with_output(
      jax.random.key(0), x, train=False
    )[0],
    jax.ShapeDtypeStruct((2, frames, 40), jnp.float32),
  )
  assert shape.shape == (2, encoded, 1024)


def test_initial_distributions():
  params = _tiny_variables()['params']
  block = params['audio_encoder']['stage4_block0']
  # PyTorch's sqrt(2 / (kernel height * kernel width * output channels)).
  for kernel, deviation in [
    (params['audio_encoder']['stem']['kernel'], (2 / (40 * 8)) ** 0.5),
    (block['conv1']['kernel'], (2 / (9 * 32)) ** 0.5),
    (block['shortcut']['kernel'], (2 / 32) ** 0.5),
  ]:
    tolerance = 4 / (2 * kernel.size) ** 0.5
    np.testing.assert_allclose(np.std(kernel), deviation, rtol=tolerance)
  linear = params['video_head']['linear']
  for name, least in (('kernel', 0.98), ('bias', 0.7)):
    largest = np.abs(linear[name]).max() * 24**0.5
    assert least < largest <= 1


def test_masked_mean_equals_naive_loop():
  num_inputs, length = 100, 7
  x = golden.normal('model/masked_mean', (6, length, 5))
  num_frames = np.array([150, 100, 83, 42, 14, 3], np.int32)
  expected = []
  for frames, n in zip(x, num_frames, strict=True):
    kept = max(1, int(n) // round(num_inputs / length))
    expected.append(np.mean(frames[:kept], axis=0))
  x = jnp.asarray(x)
  actual = davenet.masked_mean(x, num_frames, num_inputs)
  np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
  narrow = x.astype(jnp.bfloat16)
  pooled = davenet.masked_mean(narrow, num_frames, num_inputs)
  assert pooled.dtype == jnp.float32


def test_mean_pooling_counts_padding_and_masked_pooling_does_not():
  batch, variables = _batch(), _tiny_variables()
  shorter = {**batch, 'num_frames': np.full(4, 16, np.int32)}

  def audio(batch, **options):
    network = avlnet.AVLnet(**_TINY, frozen_statistics=True, **options)
    return network.apply(variables, batch, train=True)['audio']

  evaluated = avlnet.AVLnet(**_TINY).apply(variables, batch, train=False)
  masked = audio(batch, pooling='masked')
  np.testing.assert_allclose(masked, evaluated['audio'], rtol=1e-5)
  assert np.abs(masked - audio(shorter, pooling='masked')).max() > 1e-3
  np.testing.assert_array_equal(audio(batch), audio(shorter))
  assert np.abs(masked - audio(batch))[1:].max() > 1e-3


def test_bfloat16_computes_near_float32_and_returns_it():
  batch, variables = _batch(), _tiny_variables()
  wide, _ = _evaluate(avlnet.AVLnet(**_TINY), variables, batch)
  network = avlnet.AVLnet(**_TINY, dtype='bfloat16')
  narrow, state = _evaluate(network, variables, batch)
  (frames,) = state['intermediates']['audio_encoder']['__call__']
  assert frames.dtype == jnp.bfloat16
  for name, value in narrow.items():
    assert value.dtype == jnp.float32
    error = np.abs(value - wide[name]).max()
    assert 0 < error < 0.05 * np.abs(wide[name]).max()


def test_context_gate():
  gate = heads.ContextGate()
  y = jnp.asarray(golden.normal('model/gate', (3, 4)))
  variables = gate.init(jax.random.key(0), y)
  linear = variables['params']['linear']
  logits = y @ linear['kernel'] + linear['bias']
  np.testing.assert_allclose(
    gate.apply(variables, y), y / (1 + np.exp(-logits)), rtol=1e-5
  )


def test_features_of_another_width_are_refused():
  network, variables = avlnet.AVLnet(**_TINY), _tiny_variables()
  with pytest.raises(ConfigError, match='are 5 wide, but the model takes 24'):
    network.apply(variables, _batch(visual=5), train=False)


def test_combine():
  audio, video = golden.normal('model/combine', (2, 3, 4))
  embeddings = {'audio': audio, 'video': video}
  np.testing.assert_array_equal(expressions.combine(embeddings, 'video'), video)
  np.testing.assert_array_equal(
    expressions.combine(embeddings, 'audio+video'), audio + video
  )
  with pytest.raises(ValueError, match=r"'text'.*\['audio', 'video'\]"):
    expressions.combine(embeddings, 'text+audio')


@pytest.mark.parametrize(
  ('option', 'choices'), [('structure', 'release'), ('pooling', 'masked')]
)
def test_unknown_option_is_refused(option, choices):
  with pytest.raises(ValueError, match=f"'sideways' of {option}.*'{choices}'"):
    avlnet.AVLnet(**{option: 'sideways'})
