"""Decoding of records, compared with TFDS' own."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from google.protobuf.message import DecodeError

from input_pipeline.records.decoding import Decoder

_ERRORS = (ValueError, LookupError, DecodeError)
_FEATURES = tfds.features.FeaturesDict(
  {
    'id': tfds.features.Text(),
    'one': tfds.features.Tensor(
      shape=(None, 4), dtype=np.float16, encoding='bytes'
    ),
    'two': tfds.features.Tensor(
      shape=(None, None), dtype=np.float32, encoding='bytes'
    ),
    'packed': tfds.features.Tensor(
      shape=(None,), dtype=np.int32, encoding='zlib'
    ),
    'texts': tfds.features.Sequence(tfds.features.Text()),
    'times': tfds.features.Tensor(
      shape=(None,), dtype=np.float64, encoding='none'
    ),
    'start': np.float32,
  }
)


def _record(length):
  rng = np.random.default_rng(length)
  example = {
    'id': 'é' * length,
    'one': rng.normal(size=(length, 4)).astype('f2'),
    'two': rng.normal(size=(3, 100 * length)).astype('f4'),
    'packed': np.arange(length, dtype='i4'),
    'texts': [f'text {i}' for i in range(length)],
    'times': np.arange(length) / 3,
    'start': np.float32(0.1),
  }
  return _FEATURES.serialize_example(example)


@pytest.mark.parametrize('length', [1, 7, 300])
def test_decodes_like_tfds(length):
  record = _record(length)
  expected = _FEATURES.deserialize_example_np(record)
  found = Decoder(_FEATURES)(record)
  assert found.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_array_equal(found[name], value)
    assert np.asarray(found[name]).dtype == np.asarray(value).dtype
    assert np.shape(found[name]) == np.shape(value)
  assert found['one'].flags.aligned
  assert found['two'].flags.aligned


def test_corrupt_records_raise():
  record, decode = _record(7), Decoder(_FEATURES)
  for size in range(0, len(record), 101):
    with pytest.raises(_ERRORS):
      decode(record[:size])
  for place in (0, 1, 2, 3):
    spoilt = bytearray(record)
    spoilt[place] ^= 0xFF
    with pytest.raises(_ERRORS):
      decode(bytes(spoilt))
