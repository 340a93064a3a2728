"""Small files that would take hours, gigabytes or the whole process."""

import io
import pickle
import struct
import sys
import zipfile

import numpy as np
import pytest

from avl_jax import torch_files
from tests.helpers.torch_files import made_files

COPIES = 60  # 2**60 values, if each copy is counted
# A tuple of the same tuple twice, again and again, in 240 bytes.
NESTED = b')' + b'q\x00h\x00\x86' * COPIES
KEYS = [i * sys.hash_info.modulus for i in range(1, 5000)]  # of one hash


def _read(tmp_path, content, reader=torch_files.read_pickle):
  path = tmp_path / 'clips.pkl'
  path.write_bytes(content)
  return reader(path)


def _refused(tmp_path, content, message, reader=torch_files.read_pickle):
  with pytest.raises(torch_files.ReleaseError, match=message):
    _read(tmp_path, content, reader)


def _integer(value):
  data = pickle.encode_long(value)
  return pickle.LONG1 + bytes([len(data)]) + data


def _dictionaries(keys):
  """A dictionary of the pickled keys, in each way that a pickle can make it."""
  items = b''.join(key + b'N' for key in keys)
  pairs = b''.join(key + b'N\x86' for key in keys)
  ordered = b'ccollections\nOrderedDict\n'
  return {
    'DICT': b'(' + items + b'd.',
    'SETITEM': b'}' + b''.join(key + b'Ns' for key in keys) + b'.',
    'SETITEMS': b'}(' + items + b'u.',
    'call': ordered + b'](' + pairs + b'e\x85R.',
    'ordered': ordered + b')R(' + items + b'u.',
  }


ways = pytest.mark.parametrize('way', _dictionaries([]))


@ways
def test_colliding_keys(tmp_path, way):
  """One hash for all: n keys take n**2 / 2 comparisons."""
  content = _dictionaries([_integer(key) for key in KEYS])[way]
  _refused(tmp_path, content, r'key of type int\. Expected strings and int')


@ways
def test_many_integers_as_keys(tmp_path, way):
  """Smaller ones collide too, where the table is smaller than they are.

  As many as parameters have addresses, the keys before PyTorch 1.6, are read.
  """
  keys = [140_000_000_000_000 + 64 * i for i in range(4096)]
  small = _read(tmp_path, _dictionaries([_integer(key) for key in keys])[way])
  assert list(small) == keys
  content = _dictionaries([_integer(key) for key in (*keys, 7)])[way]
  _refused(tmp_path, content, 'integer as a key of a dictionary of 4096')


@ways
@pytest.mark.parametrize(
  ('key', 'message'),
  [
    (NESTED, 'key of type tuple'),  # Its hash takes 2**60 steps.
    (b')' + b'\x85' * 10**4, 'key of type tuple'),  # Its hash may end all.
    (pickle.BINFLOAT + struct.pack('>d', 0.5), 'key of type float'),
    (b'\x88', 'key of type bool'),
    (b'C\x01a', 'key of type bytes'),
    (b'N', 'key of type NoneType'),
    # Comparisons with an equal one take as long as both are.
    (b'X' + struct.pack('<I', 4097) + b'a' * 4097, 'key of 4097 characters'),
  ],
)
def test_other_keys(tmp_path, way, key, message):
  _refused(tmp_path, _dictionaries([key])[way], message)


@pytest.mark.parametrize(
  'content', [b'\x8f(K\x01\x90.', b'(K\x01\x91.', b'(cbuiltins\nlist\no.']
)
def test_sets_and_objects(tmp_path, content):
  _refused(tmp_path, content, 'Refused')


@pytest.mark.parametrize(
  'put', [b'p%d\n' % sys.hash_info.modulus, b'r\xff\xff\xff\xff', b'p-1\n']
)
def test_the_memo_is_dense(tmp_path, put):
  """Its indices could collide; no writer leaves any out."""
  assert _read(tmp_path, b']p0\n.') == _read(tmp_path, b']p1\n.') == []
  _refused(tmp_path, b']' + put + b'.', 'numbered in order')


def test_long_arguments(tmp_path):
  """Each call would copy a tuple that is as long as the file."""
  name = b'ctorch._utils\n_rebuild_parameter\nq\x00'
  call = b'](' + name + b'(%btq\x01Rh\x00h\x01Re.'
  assert _read(tmp_path, call % (b'N' * 8)) == [None, None]
  _refused(tmp_path, call % (b'N' * 9), 'at most 8 arguments')
  _refused(tmp_path, call.replace(b'tq', b'lq') % b'N', 'at most 8 arguments')


@pytest.mark.parametrize('place', ['offset', 'shape', 'strides'])
@pytest.mark.parametrize(
  'value', [2**63, (1,) * 65, 'text', [1], 2.0, (True,), ((1,),)]
)
def test_sizes_of_a_tensor(tmp_path, place, value):
  """Long lists and long integers take long to check, and to multiply."""
  storage = made_files.Storage('0', np.zeros(4, 'f4'), 'FloatStorage')
  sizes = {'offset': 0, 'shape': (4,), 'strides': (1,)} | {place: value}
  content = made_files.archive(
    {'w': made_files.tensor(storage, *sizes.values())}, [storage]
  )
  _refused(tmp_path, content, 'are not sizes', torch_files.read_checkpoint)


def test_shared_values_are_read_once(tmp_path):
  value = [1.5, 'a']
  for _ in range(10):
    value = [value, value]
  result = _read(tmp_path, pickle.dumps(value))
  for _ in range(10):
    assert result[0] is result[1]
    result = result[0]
  assert result == [1.5, 'a']


@pytest.mark.parametrize(
  'value', [1.5, 'a' * 1000, np.zeros(1000), {'a': None}]
)
def test_shared_values_are_not_endless(tmp_path, value):
  """Lists, dictionaries and tuples of the same value, nested: 3**40 of them."""
  for i in range(40):
    value = ([value] * 3, {'a': value, 'b': value, 'c': value}, (value,) * 3)[
      i % 3
    ]
  _refused(tmp_path, pickle.dumps(value), 'Refused to repeat parts')


def test_huge_integers(tmp_path):
  assert _read(tmp_path, pickle.dumps(2**1000)) == 2**1000
  _refused(tmp_path, pickle.dumps([2**2000]), 'integer of 2001 bits')


@pytest.mark.parametrize('kind', [tuple, list, dict])
def test_deep_values(tmp_path, kind):
  begin, end = {
    tuple: (b')', b'\x85'),
    list: (b']' * 10**4, b'a'),
    dict: (b'}' + b'X\x01\0\0\0a}' * 10**4, b's'),
  }[kind]
  content = b'\x80\x02' + begin + end * (10**4 - (kind is list)) + b'.'
  _refused(tmp_path, content, 'damaged.*RecursionError')


def test_nested_names(tmp_path):
  """Each would be hashed or shown, 2**60 values, where a name is expected."""
  legacy = made_files.legacy({})
  numbers = [made_files.dump(n) for n in (made_files.MAGIC, 1001)]
  nested = b'\x80\x02' + NESTED + b'.'
  for content, message in (
    (nested + legacy.removeprefix(numbers[0]), 'magic number is tuple'),
    (numbers[0] + nested + legacy[sum(map(len, numbers)) :], 'protocol tuple'),
    (
      legacy.removesuffix(made_files.dump([])) + b'\x80\x02]' + NESTED + b'a.',
      'named by a tuple',
    ),
    *(
      (
        b''.join(numbers)
        + made_files.dump({'little_endian': True})
        + (b'\x80\x02(' + b''.join(fields) + b'tQ.'),
        'not of a known kind',
      )
      for fields in _storages()
    ),
  ):
    _refused(tmp_path, content, message, torch_files.read_checkpoint)
  dtype = b'cnumpy\ndtype\n' + NESTED + b'\x85R'
  scalar = b'cnumpy.core.multiarray\nscalar\n' + dtype + b'C\0\x86R.'
  _refused(tmp_path, scalar, "dtype 'tuple'")


def _storages():
  """Fields of a storage, with a nested tuple in place of each."""
  fields = [made_files.dump(x)[2:-1] for x in ('storage', '0', 'cpu', 4)]
  fields.insert(1, b'ctorch\nFloatStorage\n')
  for i in (0, 1, 2, 4):
    yield [*fields[:i], NESTED, *fields[i + 1 :]]


@pytest.mark.parametrize(
  'content',
  [
    b'X\x03\0\0\0\xed\xa0\x80X\x01\0\0\0a\x93.',  # half of a pair of UTF-16
    b'c' + b'a' * 10**5 + b'\nb\n.',
    b'X' + struct.pack('<I', 10**5) + b'\xff' * 10**5,
  ],
)
def test_messages_can_be_shown(tmp_path, content):
  with pytest.raises(torch_files.ReleaseError) as error:
    _read(tmp_path, content)
  assert len(str(error.value).encode()) < 1000


@pytest.mark.parametrize('method', [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_refuses_other_compression(tmp_path, method):
  """The library unpacks these without a limit: 200 MB of 200 bytes."""
  npy = io.BytesIO()
  np.save(npy, np.zeros(10, 'f4'))
  content = made_files.zipped({'a.npy': npy.getvalue()}, method)
  _refused(
    tmp_path,
    content,
    f'compressed by method {method}',
    lambda path: torch_files.read_array(path, 'a'),
  )


def test_a_compressed_member_of_a_checkpoint(tmp_path):
  """It claims to be as small as it is packed, and unpacks to a megabyte."""
  bomb = made_files.dump('a' * 10**6)
  content = made_files.zipped({'x/data.pkl': bomb}, zipfile.ZIP_DEFLATED)
  content = content.replace(struct.pack('<I', len(bomb)), struct.pack('<I', 99))
  _refused(
    tmp_path, content, 'member.* is compressed', torch_files.read_checkpoint
  )
