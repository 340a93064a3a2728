"""Decodes the bytes of a record into an example."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds


class Decoder:
  """Decodes records like TFDS, but reads the bytes of arrays directly.

  TFDS' parser copies each array about five times.
  """

  def __init__(self, features: tfds.features.FeaturesDict):
    """Takes the features of the data set."""
    self._arrays = {
      name: feature for name, feature in features.items() if _is_raw(feature)
    }
    # With more than one size unknown, TFDS stores the shape beside the bytes.
    self._keys = {
      name: f'{name}/value' if feature.shape.count(None) > 1 else name
      for name, feature in self._arrays.items()
    }
    self._others = tfds.features.FeaturesDict(
      {k: f for k, f in features.items() if k not in self._arrays}
    )

  def __call__(self, record: bytes) -> dict:
    """Returns the example, a dict of numpy values.

    Raises:
      Exception: of many kinds, if the record is corrupt.
    """
    rest, found, raw = tf.train.Example(), {}, set(self._keys.values())
    for _, features in _fields(memoryview(record)):
      for _, entry in _fields(features):
        pair = dict(_fields(entry))
        key, value = str(pair[1], 'utf-8'), pair[2]
        if key in raw:
          ((_, values),) = _fields(value)
          ((_, found[key]),) = _fields(values)
        else:
          rest.features.feature[key].ParseFromString(bytes(value))
    example = {}
    for name, key in self._keys.items():
      shape = [-1 if n is None else n for n in self._arrays[name].shape]
      if key != name:
        shape = rest.features.feature[f'{name}/shape'].int64_list.value
      # A copy is aligned, and does not keep the whole record in memory. NumPy's
      # lets other threads run meanwhile.
      dtype: Any = self._arrays[name].np_dtype
      copied = np.frombuffer(found[key], np.uint8).copy()
      example[name] = copied.view(dtype).reshape(shape)
    others: Any = self._others.deserialize_example_np(rest.SerializeToString())
    return example | others


def _is_raw(feature: tfds.features.FeatureConnector) -> bool:
  """Whether a feature is stored as the bytes of an array."""
  return (
    type(feature) is tfds.features.Tensor
    and feature.to_json_content().encoding == 'bytes'
  )


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
  """Yields the number and the content of each field of a message.

  Reads the wire format of protocol buffers; every field must have a length, as
  messages, texts and bytes do.

  Raises:
    ValueError, IndexError: a field has none, or the message is truncated.
  """
  place = 0
  while place < len(message):
    tag, place = _varint(message, place)
    size, place = _varint(message, place)
    if tag & 7 != 2 or place + size > len(message):
      raise ValueError('The record is not a tf.train.Example.')
    yield tag >> 3, message[place : place + size]
    place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
  """Decodes the number at a place, seven bits a byte, lowest bits first.

  Returns:
    (number, place behind it).
  """
  number = shift = 0
  while True:
    byte = message[place]
    number |= (byte & 0x7F) << shift
    place, shift = place + 1, shift + 7
    if byte < 0x80:
      return number, place
