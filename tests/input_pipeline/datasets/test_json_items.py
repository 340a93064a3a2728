"""JSON objects read item by item: values, errors, memory."""

import json
import random
import tracemalloc

import pytest

from input_pipeline.datasets import json_items
from input_pipeline.datasets.parsing import AnnotationError


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
  """Every kind of token is cut by the end of some chunk."""
  monkeypatch.setattr(json_items, 'CHUNK', 53)


def _items(tmp_path, text):
  path = tmp_path / 'caption.json'
  path.write_bytes(text.encode('utf-8') if isinstance(text, str) else text)
  return list(json_items.json_items(path))


def _value(rng, depth):
  if not depth or rng.random() < 0.3:
    return rng.choice(
      [
        *(None, True, False, 0, -17, 0.1, -2.5e-300, 10**25, float('inf')),
        *('', 'a"\\\n{}[],:', 'é\ud83d\ude00日本' * 9),
        'word ' * rng.randrange(40),
      ]
    )
  values = [_value(rng, depth - 1) for _ in range(rng.randrange(6))]
  return values if depth % 2 else {f'k{i} "': v for i, v in enumerate(values)}


@pytest.mark.parametrize(
  'form',
  [
    {},
    {'indent': 3},
    {'separators': (',', ':')},
    {'ensure_ascii': False, 'indent': '\r\n\t'},
  ],
)
def test_items_are_those_of_json(tmp_path, form):
  for seed in range(30):
    rng = random.Random(seed)
    value = {f'v{i} é': _value(rng, 3) for i in range(rng.randrange(12))}
    value = json.loads(json.dumps(value))  # joins surrogates
    assert _items(tmp_path, json.dumps(value, **form)) == [*value.items()]


def test_space_marks_and_repeated_keys(tmp_path):
  assert _items(tmp_path, ' \n{\t}\r\n ') == []
  assert _items(tmp_path, '\ufeff{"a": 1}') == [('a', 1)]
  assert _items(tmp_path, '{"a": 1, "a" : 2 }') == [('a', 1), ('a', 2)]
  assert _items(tmp_path, '{"a"' + ' ' * 300 + ':12}') == [('a', 12)]


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('[]', 'got a list'),
    ('"a"', 'got a str'),
    ('', 'expected { at character 0'),
    ('3', 'expected { at character 0'),
    ('{', 'expected a key in double quotes at character 1'),
    ('{a: 1}', 'expected a key'),
    ('{"a": 1,}', 'expected a key in double quotes at character 8'),
    ('{"a" 1}', 'expected : at character 5'),
    ('{"a": 1 "b": 2}', 'expected , or } at character 8'),
    ('{"a": 1', 'expected , or } at character 7'),
    ('{"a": ', 'Expecting value at character 6'),
    ('{"a": [1, }', 'Expecting value at character 10'),
    ('{"a": "b', 'Unterminated string starting at at character 6'),
    ('{"a": tru}', 'Expecting value at character 6'),
    ('{"a": 1} {}', 'extra data at character 9'),
    ('{"a": 1' + ' ' * 200 + ', "b": +}', 'Expecting value at character 214'),
    (b'{"a": "\xff"}', "can't decode byte 0xff"),
    (b'{"a": "\xc3', 'decode'),
    ('{"a": ' + '[' * 10**5, 'recursion'),
    ('{"a": ' + '1' * 5000 + '}', 'limit'),
  ],
)
def test_malformed(tmp_path, text, message):
  with pytest.raises(AnnotationError, match=r'caption\.json') as raised:
    _items(tmp_path, text)
  assert message in str(raised.value)


def test_truncated(tmp_path):
  text = json.dumps({f'v{i}': [i / 7, 'té\n', None] for i in range(9)})
  for size in range(len(text)):
    with pytest.raises(AnnotationError, match='Expected JSON'):
      _items(tmp_path, text[:size])


def test_an_error_is_found_where_it_is(tmp_path):
  """Not at the end of the file, which is not read."""
  path = tmp_path / 'caption.json'
  path.write_text('{"a": [1 2], "b": "' + 'x' * 10**5)
  read = []
  with pytest.raises(AnnotationError, match='character 9'):
    list(json_items.json_items(path, read.append))
  assert sum(read) < 1000


def test_an_item_that_is_too_long(tmp_path, monkeypatch):
  monkeypatch.setattr(json_items, 'LONGEST', 2000)
  good = {f'v{i}': 'x' * 900 for i in range(20)}
  assert _items(tmp_path, json.dumps(good)) == [*good.items()]
  with pytest.raises(AnnotationError, match=r'character 14 on.*than 2000'):
    _items(tmp_path, '{"a": 1, ' + json.dumps({'b': 'x' * 9000})[1:])


def test_memory_does_not_grow_with_the_file(tmp_path):
  peaks = []
  for count in (100, 1000):
    path = tmp_path / 'caption.json'
    path.write_text(json.dumps({f'v{i}': ['x' * 1000] for i in range(count)}))
    tracemalloc.start()
    assert sum(1 for _ in json_items.json_items(path)) == count
    peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
  assert peaks[0] > 1000
  assert abs(peaks[1] - peaks[0]) < 20_000
