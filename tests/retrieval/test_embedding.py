"""Every example is embedded exactly once, whatever the batches."""

import numpy as np
import pytest

from avl_jax.models.avlnet import AVLnet, init_variables
from avl_jax.retrieval import embedding


@pytest.fixture(scope='module')
def model():
  return AVLnet(embed_dim=6, widths=(4, 4), blocks=(1,))


def _batch(size, bad=None):
  rng = np.random.default_rng(0)
  spectrogram = rng.normal(-40, 9, (size, 24, 40)).astype(np.float32)
  if bad is not None:
    spectrogram[0, 0, 0] = bad
  return {
    'spectrogram': spectrogram,
    'num_frames': rng.integers(5, 24, size, dtype=np.int32),
    'visual': rng.normal(size=(size, 5)).astype(np.float32),
    'id': np.array([f'clip{i}' for i in range(size)]),
    'subset': np.array(['test'] * size),
  }


def _expected(model, variables, batch):
  inputs = {k: batch[k] for k in ('spectrogram', 'num_frames', 'visual')}
  return model.apply(variables, inputs, False)


@pytest.mark.parametrize('count', [1, 8])
def test_every_example_once_whatever_the_batches(model, use_devices, count):
  use_devices(count)
  variables = init_variables(model, 5)
  embed = embedding.make_embed_evaluation(model)
  whole = _batch(13)
  parts = [
    {key: value[start : start + 5] for key, value in whole.items()}
    for start in range(0, 13, 5)
  ]
  got = embed(variables, parts)
  expected = _expected(model, variables, whole)
  assert got.ids.tolist() == whole['id'].tolist()
  assert got.subsets.tolist() == ['test'] * 13
  for name in ('audio', 'video'):
    np.testing.assert_allclose(
      got.embeddings[name], expected[name], rtol=1e-4, atol=1e-5
    )
  # The last two examples are padding.
  fewer = embed(variables, parts, 11)
  assert fewer.ids.tolist() == whole['id'][:11].tolist()
  np.testing.assert_array_equal(
    fewer.embeddings['audio'], got.embeddings['audio'][:11]
  )


def test_batches_of_any_inputs(model, use_devices):
  use_devices(1)
  variables, embed = init_variables(model, 5), embedding.make_embed(model)
  batch = _batch(3)
  expected = _expected(model, variables, batch)
  audio = {key: batch[key] for key in ('spectrogram', 'num_frames')}
  for inputs, names in (
    (audio, ['audio']),
    ({'visual': batch['visual'], 'id': batch['id']}, ['video']),
    (batch, ['audio', 'video']),
  ):
    got = embed(variables, inputs)
    assert sorted(got) == names
    for name in names:
      assert got[name].shape == (3, 6)
      np.testing.assert_allclose(
        got[name], expected[name], rtol=1e-4, atol=1e-5
      )
  one = embed(variables, {'visual': batch['visual'][1:2]})
  np.testing.assert_allclose(
    one['video'], expected['video'][1:2], rtol=1e-4, atol=1e-5
  )


def test_repeated_ids_and_nan_are_refused(model, use_devices):
  use_devices(1)
  variables = init_variables(model, 5)
  embed = embedding.make_embed_evaluation(model)
  with pytest.raises(ValueError, match='An id occurs twice'):
    embed(variables, [_batch(13), _batch(13)])
  with pytest.raises(ValueError, match='audio embeddings are not all finite'):
    embed(variables, [_batch(13, bad=np.inf)])
