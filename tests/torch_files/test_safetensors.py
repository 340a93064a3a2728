"""Safetensors files: what is written and read, and malicious ones."""

import json
import struct

import numpy as np
import pytest

from avl_jax import torch_files
from avl_jax.errors import UserError
from avl_jax.torch_files import pretrained, safetensors_files, tensors
from tests.helpers import golden, small_release


def content(header, data=b'', length=None):
  """A file with this header, a JSON value or its bytes."""
  if not isinstance(header, bytes):
    header = json.dumps(header).encode()
  length = len(header) if length is None else length
  return struct.pack('<Q', length) + header + data


def entry(dtype, shape, *offsets):
  return {'dtype': dtype, 'shape': shape, 'data_offsets': offsets}


def parsed(path):
  """The header of a file, and the bytes of each entry."""
  whole = path.read_bytes()
  (length,) = struct.unpack('<Q', whole[:8])
  header, data = json.loads(whole[8 : 8 + length]), whole[8 + length :]
  return header, {
    name: data[slice(*value['data_offsets'])]
    for name, value in header.items()
    if name != '__metadata__'
  }


def read(tmp_path, whole):
  path = tmp_path / 'weights.safetensors'
  path.write_bytes(whole)
  return torch_files.read_state_dict(path)


def some_state():
  """An entry of each type and kind of layout."""
  values = golden.normal('safetensors', (4, 6))
  return {
    **{
      name: (values * 3).astype(dtype)
      for name, dtype in tensors.STORAGES.items()
    },
    'transposed': values.T,
    'strided': values[1:, ::2],
    'big endian': values.astype('>f4'),
    'scalar': np.array(123456789012),
    'empty': np.zeros((3, 0), np.float16),
    'naïve "名"\n': np.float32([np.nan, np.inf, -0.0]),
  }


def test_every_type_and_layout(tmp_path):
  path, state = tmp_path / 'a.safetensors', some_state()
  torch_files.write_state_dict(path, state)
  header, data = parsed(path)
  assert header.keys() - {'__metadata__'} == state.keys()
  again = torch_files.read_state_dict(path)
  assert list(again) == sorted(state)
  for name, array in state.items():
    little = array.astype(array.dtype.newbyteorder('<'))
    assert header[name]['shape'] == list(array.shape)
    assert data[name] == little.tobytes() == again[name].tobytes()
    assert (again[name].shape, again[name].dtype) == (array.shape, little.dtype)


def test_equal_states_give_equal_bytes(tmp_path):
  state = some_state()
  files = set()
  for i in range(8):  # The library's order of the metadata is random.
    path = tmp_path / f'{i}.safetensors'
    torch_files.write_state_dict(path, state)
    files.add(path.read_bytes())
    state = dict(reversed(state.items()))
  assert len(files) == 1
  header, _ = parsed(path)
  assert header['__metadata__'] == {'format': 'pt', 'written_by': 'avl_jax'}
  (length,) = struct.unpack('<Q', path.read_bytes()[:8])
  assert length % 8 == 0


@pytest.mark.parametrize('length', [0, 0x4B50, 0x280])  # as 'PK', as a pickle
@pytest.mark.parametrize('name', ['a.safetensors', 'a.SafeTensors', 'a.pth'])
def test_the_content_tells_the_format(tmp_path, name, length):
  header = {
    '__metadata__': {'of': 'someone', 'net': 'else'},
    'w': entry('F32', [2], 0, 8),
  }
  header = json.dumps(header).encode().ljust(length)
  (tmp_path / name).write_bytes(content(header, struct.pack('<2f', 1.5, -2)))
  state = torch_files.read_state_dict(tmp_path / name)
  small_release.assert_same(state, {'w': np.float32([1.5, -2])})


def test_names_do_not_hide_a_checkpoint_of_pytorch(tmp_path):
  state = {'w': np.arange(3)}
  torch_files.write_state_dict(tmp_path / 'a.pth', state)
  (tmp_path / 'a.pth').rename(tmp_path / 'a.safetensors')
  again = torch_files.read_state_dict(tmp_path / 'a.safetensors')
  small_release.assert_same(again, state)


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_weights_of_a_network(tmp_path, prefix):
  state = {
    f'{prefix}{name}': golden.normal(name, (2, 3)).astype(dtype)
    for name, dtype in tensors.STORAGES.items()
  }
  for name in ('a.pth', 'a.safetensors'):
    torch_files.write_state_dict(tmp_path / name, state)
  expected = pretrained.read_network(tmp_path / 'a.pth')
  assert set(expected) == set(tensors.STORAGES)
  found = pretrained.read_network(tmp_path / 'a.safetensors')
  small_release.assert_same({name: found[name] for name in expected}, expected)


def test_pytorch_reads_and_writes_the_same(tmp_path):
  torch = pytest.importorskip('torch')
  theirs = pytest.importorskip('safetensors.torch')
  state = dict(sorted(small_release.small_state().items()))
  state['half'] = np.arange(5).astype(tensors.STORAGES['BFloat16Storage'])
  path = tmp_path / 'ours.safetensors'
  torch_files.write_state_dict(path, state)
  loaded = theirs.load_file(path)
  assert loaded.keys() == state.keys()
  for name, array in state.items():
    assert str(loaded[name].dtype) == f'torch.{array.dtype}'
    assert loaded[name].shape == array.shape
    numbers = loaded[name].to(torch.float64).numpy()
    np.testing.assert_array_equal(numbers, array.astype(np.float64), name)
  theirs.save_file(loaded, tmp_path / 'theirs.safetensors', {'format': 'pt'})
  again = torch_files.read_state_dict(tmp_path / 'theirs.safetensors')
  small_release.assert_same({name: again[name] for name in state}, state)


_ONE = json.dumps(entry('U8', [1], 0, 1)).encode()
_TWO = {'a': entry('U8', [2], 0, 2)}
_DAMAGED = 'truncated, damaged or not in the format safetensors'


@pytest.mark.parametrize(
  ('whole', 'message'),
  [
    (b'', 'file has 0 bytes'),
    (b'\x02\x00', 'file has 2 bytes and claims a header of 2'),
    (b'version https://git-lfs', 'file has 23 bytes'),
    (content(b'{', length=2**63), 'a header of 9223372036854775808'),
    (content(_TWO, b'12')[:40], 'file has 40 bytes'),
    (content(b'{}'.ljust(2**22 + 1)), 'at most 4194304 bytes'),
    (content(_TWO, b'1'), _DAMAGED),
    (content(_TWO, b'123'), _DAMAGED),
    (content(_TWO | {'b': entry('U8', [2], 1, 3)}, b'123'), _DAMAGED),
    (content(_TWO | {'b': entry('U8', [1], 3, 4)}, b'1234'), _DAMAGED),
    (content({'a': entry('U8', [2**50], 0, 2**50)}, b'1'), _DAMAGED),
    (content({'a': entry('F32', [2**62, 2], 0, 0)}), _DAMAGED),
    (content({'a': entry('F32', [2**63, 0], 0, 0)}), _DAMAGED),
    (content({'a': entry('U8', [-1], 0, 1)}, b'1'), _DAMAGED),
    (content({'a': entry('U8', [2], 2, 0)}, b'12'), _DAMAGED),
    (content({'a': entry('U8', [1] * 65, 0, 1)}, b'1'), _DAMAGED),
    (content(b'{"a":%b,"a":%b}' % (_ONE, _ONE), b'1'), "'a' twice"),
    (content(b'{"a":%b,"\\u0061":%b}' % (_ONE, _ONE), b'1'), "'a' twice"),
    (content({'a': entry('F8_E4M3', [1], 0, 1)}, b'1'), "type 'F8_E4M3'. Exp"),
    (content({'a': entry('C64', [1], 0, 8)}, b'12345678'), "type 'C64'"),
    (content({'a': entry({}, [1], 0, 1)}, b'1'), 'the type {}'),
    (content({'__metadata__': {'a': 1}}), _DAMAGED),
    (content({'a': 3}), _DAMAGED),
    (content({'a' * 10**5: 3}), _DAMAGED),
    (content({'a': {'dtype': 'U8', 'shape': 'a' * 10**5}}), _DAMAGED),
    (content({'a' * 10**5: entry('U' * 10**5, [])}), "the type 'UUU"),
    (content(b'{"%b":1,"%b":1}' % (b'a' * 10**5, b'a' * 10**5)), 'a twice'),
    (content([_TWO]), _DAMAGED),
    (content(b'{"a":' * 10**5), _DAMAGED),
    (content(b'{"\xff":1}'), _DAMAGED),
    (content(b'{"a":1%b}' % (b'0' * 5000)), _DAMAGED),
  ],
)
def test_damaged_files(tmp_path, whole, message):
  with pytest.raises(torch_files.ReleaseError, match=message) as caught:
    read(tmp_path, whole)
  text = str(caught.value)
  assert text.startswith(f'{tmp_path}/weights.safetensors: ')
  assert text.count('Expected ') == 1
  assert (
    len(text) < len(str(tmp_path)) + 500
  )  # A file does not fill the screen.
  assert text.endswith(' Copy, download or convert the file again.')


def mutated(whole, rng):
  """Changes, removes, repeats, inserts or flips something, one to three times.

  Most of it is in the header: the numbers of an array cannot be wrong.
  """
  whole = bytearray(whole)
  for _ in range(rng.integers(1, 4)):
    at = int(rng.integers(len(whole)))
    part = slice(at, at + int(rng.integers(12)))
    match rng.integers(5):
      case 0:
        whole[at] = rng.choice(list(b'0123456789[]{},": '))
      case 1:
        whole[part] = b''
      case 2:
        whole[at:at] = whole[part]
      case 3:
        whole[part] = rng.bytes(2)
      case _:
        whole[at] ^= 1 << int(rng.integers(8))
  return bytes(whole)


def test_mutations_are_refused_or_arrays_of_the_same_bytes(tmp_path):
  rng = np.random.default_rng(0)
  path, messages, tries = tmp_path / 'a.safetensors', [], 4000
  state = {'w': np.ones((2, 3)), 'n': np.array(3), 'e': np.zeros(0, np.uint8)}
  torch_files.write_state_dict(path, state)
  original = path.read_bytes()
  with path.open('r+b', buffering=0) as file:  # Faster than to open it again.
    for _ in range(tries):
      whole = mutated(original, rng)
      file.seek(0)
      file.write(whole)
      file.truncate()
      try:
        found = torch_files.read_state_dict(path)
      except torch_files.ReleaseError as error:
        messages.append(str(error))
        continue
      start = 8 + int.from_bytes(whole[:8], 'little')
      size = sum(array.nbytes for array in found.values())
      assert size == len(whole) - start
  assert tries / 2 < len(messages) < tries * 0.95
  assert all(message.startswith(f'{path}: ') for message in messages)


def test_what_cannot_be_written(tmp_path, monkeypatch):
  path = tmp_path / 'a.safetensors'
  torch_files.write_state_dict(path, {'w': np.arange(3)})
  for name in ('b.safetensors', 'b.pth'):
    with pytest.raises(UserError, match='cannot be written: File exi'):
      torch_files.write_state_dict(path / name, {'w': np.arange(4)})

  def interrupted(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr('os.replace', interrupted)
  with pytest.raises(KeyboardInterrupt):
    torch_files.write_state_dict(path, {'w': np.arange(4)})
  again = torch_files.read_state_dict(path)
  small_release.assert_same(again, {'w': np.arange(3)})


def test_the_largest_header_is_read(tmp_path):
  header = json.dumps({'w': entry('U8', [1], 0, 1)}).encode()
  header = header.ljust(safetensors_files.LARGEST_HEADER)
  assert read(tmp_path, content(header, b'\x07'))['w'] == [7]


def test_missing_file(tmp_path):
  with pytest.raises(FileNotFoundError):
    torch_files.read_state_dict(tmp_path / 'none.safetensors')
