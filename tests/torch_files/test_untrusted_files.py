"""The release's feature pickles, npz and Apex files, and malicious ones."""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from avl_jax import torch_files
from avl_jax.torch_files import npy
from tests.helpers import golden

BOMB = {}  # filled by `_call` if a pickle is executed


def _call(value):
  BOMB['value'] = value


class _Bomb:
  def __reduce__(self):
    return _call, (1,)


def _read(tmp_path, content):
  path = tmp_path / 'clips.pkl'
  path.write_bytes(content)
  return torch_files.read_pickle(path)


def _clips():
  """Clips in the form of `youcook_val_audio.pkl`, with NumPy arrays only."""
  return [
    {
      'id': f'clip{i}',
      '2d': golden.normal(f'clips/{i}/2d', (8,)),
      '3d': golden.normal(f'clips/{i}/3d', (6,)).astype('f8'),
      'audio': golden.normal(f'clips/{i}/audio', (40, 5 + i)).astype('f2'),
      'caption': 'add the onions – ajoute',
      'start': np.float64(12.5),
      'end': 20 + i,
      'text_sim': None,
      'matrix': np.asfortranarray(golden.normal('clips/matrix', (2, 3))),
      'big': np.arange(3, dtype='>i4'),
      'raw': b'\x00\xff',
    }
    for i in range(3)
  ]


def _assert_same(actual, expected):
  assert len(actual) == len(expected)
  for one, other in zip(actual, expected, strict=True):
    assert list(one) == list(other)
    for key, value in other.items():
      np.testing.assert_array_equal(one[key], value)
      if isinstance(value, np.ndarray):
        assert one[key].dtype == value.dtype


@pytest.mark.parametrize('protocol', range(2, 6))
def test_clips_of_numpy_arrays(tmp_path, protocol):
  clips = _clips()
  _assert_same(_read(tmp_path, pickle.dumps(clips, protocol)), clips)


@pytest.mark.parametrize('protocol', range(2, 6))
def test_clips_of_torch_tensors(tmp_path, protocol):
  torch = pytest.importorskip('torch')
  clips = _clips()
  tensors = [
    clip
    | {
      'audio': torch.from_numpy(clip['audio']),
      'view': torch.from_numpy(clip['matrix']).T[1:],
    }
    for clip in clips
  ]
  expected = [clip | {'view': clip['matrix'].T[1:]} for clip in clips]
  _assert_same(_read(tmp_path, pickle.dumps(tensors, protocol)), expected)


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_captions(tmp_path, protocol):
  captions = {
    'abc': {'start': [0.1, 2.0], 'end': [2.5, 4], 'text': ['hi', 'thérè']},
    'empty': {'start': [], 'end': [], 'text': []},
  }
  assert _read(tmp_path, pickle.dumps(captions, protocol)) == captions


@pytest.mark.parametrize('is_zip', [False, True])
def test_apex_checkpoint(tmp_path, is_zip):
  torch = pytest.importorskip('torch')
  net = torch.nn.Linear(3, 4).state_dict()
  adam = {
    'state': {0: {'step': 7, 'exp_avg': torch.arange(12.0).reshape(4, 3)}},
    'param_groups': [{'lr': 1e-3, 'betas': (0.9, 0.999), 'params': [0, 1]}],
  }
  path = tmp_path / 'amp_checkpoint.pt'
  amp = OrderedDict(loss_scaler0={'loss_scale': 65536.0, 'unskipped': 7})
  torch.save(
    {'net': net, 'optimizer': adam, 'amp': amp},
    path,
    _use_new_zipfile_serialization=is_zip,
  )
  whole = torch_files.read_checkpoint(path)
  assert whole['amp'] == amp
  np.testing.assert_array_equal(
    whole['optimizer']['state'][0]['exp_avg'],
    adam['state'][0]['exp_avg'].numpy(),
  )
  assert whole['optimizer']['param_groups'] == adam['param_groups']
  state = torch_files.read_state_dict(path)
  assert list(state) == ['weight', 'bias']
  np.testing.assert_array_equal(state['weight'], net['weight'].numpy())


@pytest.mark.parametrize('protocol', range(6))
def test_refuses_a_reduce_bomb(tmp_path, protocol):
  content = pickle.dumps([_clips()[0], _Bomb()], protocol)
  BOMB.clear()
  pickle.loads(content)
  assert BOMB.pop('value')  # the effect if the pickle is executed
  with pytest.raises(torch_files.ReleaseError, match=r'clips\.pkl.*Refused'):
    _read(tmp_path, content)
  assert not BOMB


@pytest.mark.parametrize(
  'name', ['builtins.eval', 'builtins.getattr', 'numpy.load', 'torch.load']
)
def test_names_a_refused_global(tmp_path, name):
  module, name = name.split('.')
  content = f'c{module}\n{name}\n.'.encode()
  with pytest.raises(torch_files.ReleaseError, match=f'global {module}.{name}'):
    _read(tmp_path, content)


@pytest.mark.parametrize('dtype', ['O', 'i4,O', 'U3', 'V8', 'M8[s]', 'c8'])
def test_refuses_arrays_of_other_than_numbers(tmp_path, dtype):
  content = pickle.dumps({'a': np.zeros(2, dtype)})
  with pytest.raises(torch_files.ReleaseError, match=r'Refused|damaged'):
    _read(tmp_path, content)


def test_refuses_false_sizes(tmp_path):
  """Each claims terabytes."""
  huge = struct.pack('<Q', 2**42)
  array = pickle.dumps(np.zeros(4), 4)
  wrong = array.replace(b'K\x04\x85', b'J' + struct.pack('<i', 2**30) + b'\x85')
  assert wrong != array
  for content in (
    b'\x80\x05' + pickle.BYTEARRAY8 + huge + b'.',
    b'\x80\x04' + pickle.BINBYTES8 + huge + b'.',
    b'\x80\x04' + pickle.BINUNICODE8 + huge + b'.',
    b'\x80\x04' + pickle.FRAME + huge + b'.',
    wrong,
  ):
    with pytest.raises(torch_files.ReleaseError, match=r'truncated|needs'):
      _read(tmp_path, content)


def _many_calls(module, name, argument, calls):
  """A pickle that calls a global many times with the same argument."""
  function = b'c' + f'{module}\n{name}\n'.encode() + b'q\x00'
  again = b'h\x00h\x01R'
  return b'\x80\x02](' + function + argument + b'q\x01R' + again * calls + b'e.'


@pytest.mark.parametrize(
  ('name', 'item'),
  [
    ('_codecs.encode', b'X' + struct.pack('<I', 10**5) + b'a' * 10**5),
    ('builtins.bytearray', b'B' + struct.pack('<I', 10**5) + b'a' * 10**5),
    ('collections.OrderedDict', b'](' + b'K\x01K\x02\x86' * 10**4 + b'e'),
  ],
)
def test_repeated_calls_take_no_memory(tmp_path, name, item):
  """Kilobytes of a file whose copies would take gigabytes."""
  module, name = name.split('.')
  encoding = b'X\x06\x00\x00\x00latin1\x86'
  argument = item + (encoding if name == 'encode' else b'\x85')
  assert len(_read(tmp_path, _many_calls(module, name, argument, 0))) == 1
  content = _many_calls(module, name, argument, 10**4)
  with pytest.raises(torch_files.ReleaseError, match='again and again'):
    _read(tmp_path, content)


@pytest.mark.parametrize('protocol', range(2, 6))
def test_empty_arrays(tmp_path, protocol):
  clips = [{'audio': np.zeros((40, 0), 'f4'), 'id': 'a', 'raw': b''}]
  _assert_same(_read(tmp_path, pickle.dumps(clips, protocol)), clips)


def test_refuses_a_list_that_holds_itself(tmp_path):
  value = []
  value.append(value)
  with pytest.raises(torch_files.ReleaseError, match='damaged'):
    _read(tmp_path, pickle.dumps(value))


def test_a_tensor_is_not_larger_than_its_storage(tmp_path):
  torch = pytest.importorskip('torch')
  content = pickle.dumps(torch.zeros(1).expand(2**40))
  with pytest.raises(torch_files.ReleaseError, match='beyond its storage'):
    _read(tmp_path, content)


def test_truncated_pickle(tmp_path):
  content = pickle.dumps(_clips())
  for size in range(0, len(content), 37):
    with pytest.raises(torch_files.ReleaseError, match=r'clips\.pkl'):
      _read(tmp_path, content[:size])


FEATURES = golden.normal('arrays/features', (7, 5)).astype('f2')


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
@pytest.mark.parametrize('order', ['C', 'F'])
def test_npz(tmp_path, save, order):
  path = tmp_path / 'x_2d.npz'
  save(path, features=np.array(FEATURES, order=order), other=np.ones(3))
  array = torch_files.read_array(path, 'features')
  np.testing.assert_array_equal(array, FEATURES, strict=True)
  with pytest.raises(torch_files.ReleaseError, match=r"x_2d.*no array 'arr_0'"):
    torch_files.read_array(path, 'arr_0')


def test_npy_and_nameless_npz(tmp_path):
  np.save(tmp_path / 'x_2d.npy', FEATURES)
  np.savez(tmp_path / 'x_spec.npz', FEATURES.T)
  np.testing.assert_array_equal(
    torch_files.read_array(tmp_path / 'x_2d.npy', 'features'), FEATURES
  )
  np.testing.assert_array_equal(
    torch_files.read_array(tmp_path / 'x_spec.npz', 'arr_0'), FEATURES.T
  )


def _npy(shape, dtype='<f4', content=b'\0' * 64):
  file = io.BytesIO()
  header = {'descr': dtype, 'fortran_order': False, 'shape': shape}
  np.lib.format.write_array_header_1_0(file, header)
  return file.getvalue() + content


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (_npy((2**40,)), 'needs 4398046511104 bytes, but the file has 64'),
    (_npy((15,)), 'needs 60 bytes'),
    (_npy((-4, -4)), r'needs|damaged'),
    (_npy((8,), '|O', pickle.dumps(_Bomb())), 'dtype object'),
    (_npy((8,), '<U2'), 'dtype <U2'),
    (_npy((16,))[:-1], 'needs 64 bytes, but the file has 63'),
    (b'\x93NUMPY\x01', 'damaged'),
    (
      b'\x93NUMPY\x02\0\xff\xff\xff\xff' + b' ' * 99,
      r'format .2, 0.\. Expected',
    ),
    (b'', 'damaged'),
    (b'PK\x03\x04', 'damaged'),
  ],
)
@pytest.mark.parametrize('in_npz', [False, True])
def test_refuses_malformed_arrays(tmp_path, content, message, in_npz):
  path = tmp_path / 'x.npz'
  BOMB.clear()
  path.write_bytes(content)
  if in_npz:
    with zipfile.ZipFile(path, 'w') as archive:
      archive.writestr('features.npy', content)
  with pytest.raises(torch_files.ReleaseError, match=message):
    torch_files.read_array(path, 'features')
  assert not BOMB


def test_refuses_a_zip_bomb(tmp_path, monkeypatch):
  monkeypatch.setattr(npy, 'LARGEST', 2**20)
  path = tmp_path / 'x.npz'
  np.savez_compressed(path, features=np.zeros(2**19, 'f4'))
  assert os.path.getsize(path) < 2**13
  with pytest.raises(
    torch_files.ReleaseError, match='At most 1048576 are read'
  ):
    torch_files.read_array(path, 'features')


def test_a_false_size_of_a_member_is_refused(tmp_path):
  """A member of 64 bytes of zeros that claims to unpack to a megabyte."""
  path = tmp_path / 'x.npz'
  content = _npy((2**18,))
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.writestr('features.npy', content)
  raw = path.read_bytes()
  claimed = struct.pack('<I', 2**20 + len(content) - 64)
  path.write_bytes(raw.replace(struct.pack('<I', len(content)), claimed))
  with pytest.raises(torch_files.ReleaseError, match=r'as large as|damaged'):
    torch_files.read_array(path, 'features')
