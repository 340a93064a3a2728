"""Pickled dictionaries read item by item: values, bounds, malicious files."""

import pickle
import pickletools
import random
import struct
import tracemalloc
from collections import OrderedDict

import numpy as np
import pytest

from avl_jax import torch_files
from avl_jax.torch_files import item_unpickler, pickle_scan, window

PROTOCOLS = range(6)
TEXTS = [f'word{i} é\ud800' for i in range(40)]


def _items(tmp_path, content):
  path = tmp_path / 'caption.pickle'
  path.write_bytes(content)
  return list(torch_files.pickled_items(path))


def _captions(count, seed=0):
  """Captions whose texts are partly the same objects, within and across."""
  rng = random.Random(seed)
  captions, nothing = {}, {'start': [], 'end': [], 'text': []}
  for i in range(count):
    starts = [round(rng.random() * 400, 2) for _ in range(rng.randint(1, 6))]
    starts[0] = rng.choice([0, 255, 70_000, -1, 2**40, starts[0]])
    texts = [f'{i} {start}' for start in starts]
    texts[-1] = rng.choice(TEXTS)
    captions[f'v{i}'] = {
      'start': starts,
      'end': [start + 3 for start in starts],
      'text': texts,
    }
    if not i % 7:
      captions[f'v{i}'] = nothing
    if not i % 11:
      captions[f'v{i}'] = captions[f'v{i // 2}']
  return captions


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
  """Every kind of opcode is cut by the end of some chunk."""
  monkeypatch.setattr(window, 'CHUNK', 97)


@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize('optimize', [False, True])
def test_items_are_those_of_pickle(tmp_path, protocol, optimize):
  """In several batches, which share texts, an empty item and other items."""
  captions = _captions(1100)
  content = pickle.dumps(captions, protocol)
  if optimize:  # only what is needed again has a number
    content = pickletools.optimize(content)
  found = _items(tmp_path, content)
  assert [key for key, _ in found] == list(captions)
  assert dict(found) == captions
  types = [*map(type, captions['v1']['start'])]
  assert [*map(type, dict(found)['v1']['start'])] == types


def _random_value(rng, depth):
  kind = rng.randrange(11 if depth else 8)
  simple = (
    *(None, True, rng.random(), rng.getrandbits(rng.choice([7, 15, 31, 90]))),
    *('x' * rng.choice([0, 5, 300]), b'y' * rng.randrange(300), np.float64(7)),
    np.arange(rng.randrange(4), dtype='i4'),
  )
  if kind < 8:
    return simple[kind]
  values = [_random_value(rng, depth - 1) for _ in range(rng.randrange(5))]
  values += values[:1]  # shared
  keys = map(str, range(len(values)))
  return (values, tuple(values), dict(zip(keys, values, strict=True)))[kind - 8]


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_items_are_those_of_read_pickle(tmp_path, protocol):
  for seed in range(40):
    rng = random.Random(seed)
    values = {f'k{i}': _random_value(rng, 3) for i in range(8)}
    values |= {'again': values['k0'], 7: values['k1'], 'array': np.ones(3)}
    path = _write(tmp_path, pickle.dumps(values, protocol))
    expected = torch_files.read_pickle(path)
    np.testing.assert_equal(dict(torch_files.pickled_items(path)), expected)


def _write(tmp_path, content):
  path = tmp_path / 'caption.pickle'
  path.write_bytes(content)
  return path


@pytest.mark.parametrize('protocol', range(2, 6))
def test_arrays_that_batches_share(tmp_path, protocol):
  """So are their dtype and the functions that rebuild them."""
  shared = np.arange(5.0)
  arrays = {f'v{i}': np.arange(i % 3, dtype='f8') for i in range(2100)}
  arrays |= {'first': shared, 'list': [shared, np.float64(2)]}
  arrays = {'start': shared, 'nested': ([shared],), **arrays, 'last': shared}
  found = dict(_items(tmp_path, pickle.dumps(arrays, protocol)))
  np.testing.assert_equal(found, arrays)
  assert found['v2'].dtype == 'f8'


def test_an_ordered_dictionary_and_one_of_nothing(tmp_path):
  captions = _captions(1010)
  for protocol in PROTOCOLS:
    content = pickle.dumps(OrderedDict(captions), protocol)
    assert dict(_items(tmp_path, content)) == captions
    assert _items(tmp_path, pickle.dumps({}, protocol)) == []


def test_what_is_put_in_before_a_batch_comes_before_it(tmp_path):
  content = b'(S"a"\nI1\nS"b"\nI2\ndS"a"\nI3\ns.'
  assert pickle.loads(content) == {'a': 3, 'b': 2}
  assert _items(tmp_path, content) == [('a', 3), ('b', 2)]


def test_a_key_that_occurs_twice(tmp_path):
  content = b'}X\x01\0\0\0aK\1sX\x01\0\0\0aK\2s.'
  assert _items(tmp_path, content) == [('a', 1), ('a', 2)]


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_truncated(tmp_path, protocol):
  content = pickle.dumps(_captions(30), protocol)
  for size in range(0, len(content), 29):
    with pytest.raises(torch_files.ReleaseError, match=r'caption\.pickle: The'):
      _items(tmp_path, content[:size])


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_damaged(tmp_path, protocol):
  """Some bytes differ: our error, or other values."""
  content = pickle.dumps(_captions(12), protocol)
  rng = random.Random(protocol)
  errors = 0
  for _ in range(200):
    damaged = bytearray(content)
    for _ in range(rng.randint(1, 3)):
      damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    try:
      _items(tmp_path, bytes(damaged))
    except torch_files.ReleaseError:
      errors += 1
  assert errors > 40


@pytest.mark.parametrize('value', [[1], (), 'text', 3, None, np.ones(2)])
def test_expects_a_dictionary(tmp_path, value):
  for protocol in PROTOCOLS:
    with pytest.raises(torch_files.ReleaseError, match=r'dictionary|Refused'):
      _items(tmp_path, pickle.dumps(value, protocol))


def test_names_a_refused_global(tmp_path):
  content = b'}X\x01\0\0\0acos\nsystem\nX\x01\0\0\0b\x85Rs.'
  with pytest.raises(torch_files.ReleaseError, match=r'Refused.*os\.system'):
    _items(tmp_path, content)


_LIST = b'](K\1K\2eq\7'  # [1, 2], number 7


@pytest.mark.parametrize(
  'content',
  [
    # An opcode changes a value of an item that was returned before.
    b'}K\1' + _LIST + b'sh\7K\3a0K\4h\7s.',
    b'}K\1}q\7sh\7K\1K\2s0K\4h\7s.',
    # A number that no value has.
    *(b'}K\1h\7s.', b'}K\1K\2q\7sK\1h\x08s.'),
    # Numbers given by opcodes of both kinds.
    *(b'}q\7K\1]\x94s.', b'}q\0K\1h\0]\x940s.', b'}K\1}\x94r\7\0\0\0s.'),
    # A stack that ends too early, a mark that is missing.
    *(b'K\1s.', b'}K\1s.', b'}u.', b'}00.', b'.', b'}', b''),
    # Sizes that the file has not.
    *(
      b'}' + opcode + struct.pack('<Q', 2**42) + b'.'
      for opcode in (b'\x8d', b'\x8e', b'\x96', b'\x95')
    ),
    *(
      b'}' + opcode + b'\xff\xff\xff\x7f.'
      for opcode in (b'X', b'B', b'T', b'\x8b')
    ),
    b'}K\1' + pickle.LONG_BINGET + b'\xff\xff\xff\xffs.',
    b'}\xfe.',
  ],
)
def test_malformed(tmp_path, content):
  with pytest.raises(torch_files.ReleaseError, match=r'damaged|than a dict'):
    _items(tmp_path, content)


def test_a_piece_that_is_too_large(tmp_path, monkeypatch):
  monkeypatch.setattr(pickle_scan, 'LARGEST_BATCH', 2**16)
  small = pickle.dumps({f'v{i}': [i] for i in range(500)}, 0)
  assert len(_items(tmp_path, small)) == 500
  for content in (
    pickle.dumps({'v': list(range(1000))}),
    pickle.dumps([{}] * 1000),
    pickle.dumps({'v': 'a' * 2**17}),
    b'}' + b'(' * 1000,
    b'}' + b']' * 1000,
    b'}N' + b'2' * 1000,  # DUP
  ):
    with pytest.raises(torch_files.ReleaseError, match='one piece'):
      _items(tmp_path, content)


def test_copies_of_a_piece_are_limited(tmp_path, monkeypatch):
  monkeypatch.setattr(pickle_scan, 'LARGEST_BATCH', 2**16)
  text = b'X\0\x40\0\0' + b'a' * 2**14 + b'q\1'
  call = b'c_codecs\nencode\nh\1X\6\0\0\0latin1\x86R'
  assert _items(tmp_path, b'}' + text + b'0K\1' + call + b's.')
  others = b'K\1K\2s' * 2**13
  content = b'}' + others + text + b'0K\1](' + call * 5 + b'es.'
  with pytest.raises(torch_files.ReleaseError, match=r'again and again'):
    _items(tmp_path, content)


def test_shared_values_are_limited(tmp_path, monkeypatch):
  texts = [f'text number {i}' for i in range(1000)]
  values = {f'v{i}': text for i, text in enumerate(texts * 3)}
  content = pickle.dumps(values)
  assert dict(_items(tmp_path, content)) == values
  monkeypatch.setattr(item_unpickler, 'LARGEST_SHARED', 2**16)
  with pytest.raises(torch_files.ReleaseError, match='several items take more'):
    _items(tmp_path, content)
  monkeypatch.setattr(pickle_scan, 'MOST_SHARED', 999)
  with pytest.raises(torch_files.ReleaseError, match='999 values occur in sev'):
    _items(tmp_path, content)


def test_a_shared_value_is_converted_once(tmp_path, monkeypatch):
  """In later batches it is the same object; protocol 0 has 500 batches."""
  long = list(range(300))
  found = _items(tmp_path, pickle.dumps({i: [long] for i in range(500)}, 0))
  assert found[0][1] == [long]
  assert len({id(value) for _, (value,) in found[1:]}) == 1


def _peak(path):
  """Bytes of memory that reading takes at most."""
  tracemalloc.start()
  try:
    for _ in torch_files.pickled_items(path):
      pass
    return tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()


@pytest.mark.parametrize(
  ('protocol', 'counts'), [(0, (50, 800)), (4, (1010, 2020))]
)
def test_memory_does_not_grow_with_the_file(
  tmp_path, monkeypatch, protocol, counts
):
  """The values of the larger file take a megabyte more."""
  monkeypatch.setattr(window, 'CHUNK', 2**14)
  peaks = []
  for count in counts:
    captions = {
      f'v{i}': {
        'start': [i + 0.5, i + 2.5],
        'end': [i + 3.5, i + 5.5],
        'text': [f'{i} some words', f'{i} others'],
      }
      for i in range(count)
    }
    peaks.append(_peak(_write(tmp_path, pickle.dumps(captions, protocol))))
  assert peaks[0] > 10_000
  assert peaks[1] < peaks[0] + 100_000
