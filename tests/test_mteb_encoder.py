"""The encoder for mteb: what it makes of mteb's inputs; without mteb."""

import types

import numpy as np
import pytest
from PIL import Image

from avl_jax import mteb_encoder, trained_model
from avl_jax.errors import UserError
from avl_jax.features import SilentMediaError

TONE = np.sin(np.arange(4_800) / 9).astype(np.float32)  # at 48 kHz


def _number(item):
  """A number that tells what an item is."""
  if isinstance(item, bytes) and item == b'silent':
    raise SilentMediaError('The audio: The peak is 0.')
  if isinstance(item, str) and item.endswith('.video'):
    with open(item, 'rb') as file:
      item = file.read()
  if isinstance(item, np.ndarray):
    return float(item.astype(float).sum()) + item.ndim
  return float(len(item))


@pytest.fixture
def encoder(monkeypatch):
  """Embeds an item as [its number, number of the modality]."""

  def embed(trained, **given):
    names = {'audio': 'audio', 'text': 'text', 'image': 'video'}
    names['video'] = 'video'
    found = {
      names[key]: np.array([[_number(x), len(key)] for x in items], np.float32)
      for key, items in given.items()
    }
    if trained.fused and {'audio', 'text'} <= found.keys():
      found['audio_text'] = found['audio'] * 100
    return found

  trained = types.SimpleNamespace(
    fused=False,
    model=types.SimpleNamespace(image_blocks=(), word_dim=2, embed_dim=2),
    visual=types.SimpleNamespace(files={'resnext101': ''}),
  )
  monkeypatch.setattr(trained_model, 'load', lambda *_, **__: trained)
  monkeypatch.setattr(trained_model, 'embed', embed)
  made = mteb_encoder.MtebEncoder('runs/x', 'me/x')
  made.trained = trained
  return made


def _encode(encoder, *batches):
  return encoder.encode(list(batches), task_metadata=None, hf_split='test')


def _file(content, path=None):
  return types.SimpleNamespace(_hf_encoded={'path': path, 'bytes': content})


def test_recordings_have_one_channel_at_16_khz(encoder):
  stereo = np.stack([TONE, 3 * TONE])
  found = [
    mteb_encoder._audio({'array': x, 'sampling_rate': rate})
    for x, rate in ((2 * TONE, 48_000), (stereo, 48_000), (TONE, 16_000))
  ]
  assert [x.shape for x in found] == [(1_600,), (1_600,), (4_800,)]
  np.testing.assert_allclose(found[0], found[1], atol=1e-6)
  np.testing.assert_array_equal(found[2], TONE)
  # The tone is slow, so every third sample is much like the resampled one.
  inner = slice(50, -50)
  np.testing.assert_allclose(found[0][inner], 2 * TONE[::3][inner], atol=0.02)


def test_files_are_read_as_files(encoder, tmp_path):
  path = tmp_path / 'a.mp4'
  path.write_bytes(b'12345')
  assert mteb_encoder._audio(_file(b'123')) == b'123'
  assert mteb_encoder._audio(_file(b'123', str(path))) == str(path)
  # A path that is not here, as of another machine.
  assert mteb_encoder._audio(_file(b'123', 'elsewhere.wav')) == b'123'
  found = _encode(encoder, {'video': [_file(b'1234'), _file(b'123')]})
  np.testing.assert_array_equal(found, [[4, 5], [3, 5]])
  assert mteb_encoder._video(_file(b'1', str(path)), tmp_path) == str(path)


def test_batches_are_joined(encoder):
  picture = Image.new('L', (2, 3), 7)
  frames = np.ones((4, 2, 2, 3), np.uint8)
  np.testing.assert_array_equal(
    _encode(
      encoder, {'image': [picture]}, {'image': [np.zeros((1, 1, 3))] * 2}
    ),
    [[7 * 18 + 3, 5], [3, 5], [3, 5]],
  )
  np.testing.assert_array_equal(
    _encode(encoder, {'video': [frames], 'id': ['x']}), [[48 + 4, 5]]
  )


def test_several_modalities_are_a_sum(encoder):
  batch = {'text': ['abc'], 'video': [np.zeros((1, 1, 1, 3), np.uint8)]}
  np.testing.assert_array_equal(_encode(encoder, batch), [[3 + 4, 4 + 5]])
  spoken = {'text': ['abc'], 'audio': [_file(b'12')]}
  np.testing.assert_array_equal(_encode(encoder, spoken), [[3 + 2, 4 + 5]])
  encoder.trained.fused = True
  np.testing.assert_array_equal(_encode(encoder, spoken), [[200, 500]])


@pytest.mark.parametrize(
  ('model', 'files', 'modalities'),
  [
    ({'word_dim': 3}, '', 'audio image video text'),
    ({}, '', 'audio image video'),
    ({'image_blocks': (1,)}, '', 'audio image'),
    ({}, 'resnext101.pth', 'audio video'),  # A picture has no motion.
  ],
)
def test_modalities_of_models(encoder, model, files, modalities):
  settings = {'image_blocks': (), 'word_dim': 0, **model}
  encoder.trained.model = types.SimpleNamespace(**settings)
  encoder.trained.visual.files['resnext101'] = files
  assert encoder._modalities == tuple(modalities.split())


def test_what_the_model_does_not_take_is_left_out(encoder):
  encoder.trained.model.word_dim = 0
  spoken = {'text': ['abc'], 'audio': [_file(b'12')]}
  np.testing.assert_array_equal(_encode(encoder, spoken), [[2, 5]])
  with pytest.raises(UserError, match='The model takes audio'):
    _encode(encoder, {'text': ['abc']})


def test_what_cannot_be_read_is_left_out(encoder, capsys):
  silent, frames = _file(b'silent'), np.zeros((1, 1, 1, 3), np.uint8)
  batch = {'audio': [_file(b'12'), silent, _file(b'1')], 'id': ['a', 'b', 'c']}
  np.testing.assert_array_equal(
    _encode(encoder, batch), [[2, 5], [0, 0], [1, 5]]
  )
  assert 'Row b, audio: The audio: The peak is 0.' in capsys.readouterr().out
  np.testing.assert_array_equal(
    _encode(encoder, {'audio': [silent], 'video': [frames]}), [[4, 5]]
  )
  np.testing.assert_array_equal(_encode(encoder, {'audio': [silent]}), [[0, 0]])
  with pytest.raises(UserError, match='peak'):
    _encode(encoder, {'audio': [silent, silent]})


def test_a_video_without_its_file(encoder):
  with pytest.raises(UserError, match='Expected a video of the library'):
    _encode(encoder, {'video': [object()]})


def test_similarities_are_dot_products(encoder):
  a, b = np.arange(6.0).reshape(2, 3), np.arange(3.0, 9.0).reshape(2, 3)
  np.testing.assert_array_equal(encoder.similarity(a, b), [[14, 23], [50, 86]])
  np.testing.assert_array_equal(encoder.similarity_pairwise(a, b), [14, 86])
