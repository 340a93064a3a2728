"""Batches made ahead of their use by other threads."""

import os
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from input_pipeline.batches.collate import Batch


def ahead(
  batch: Callable[[int], Batch],
  types: Mapping[str, tf.DType],
  first: int,
  last: int,
) -> Iterator[Batch]:
  """Yields the batches of steps `first` to `last` - 1, in order.

  Args:
    batch: makes that of a step; several threads call it at a time. What it
      raises is raised in the batch's place.
    types: of the arrays of a batch, text as tf.string.
    first: step.
    last: step that is not made any more.
  """
  errors: dict[int, Exception] = {}

  def make(step: np.ndarray) -> list[np.ndarray]:
    try:
      arrays = batch(int(step))
    except Exception as error:
      errors[int(step)] = error
      raise
    # TensorFlow takes text beyond ASCII as bytes alone.
    names = np.array([name.encode() for name in arrays['id']], object)
    return [(arrays | {'id': names})[key] for key in types]

  def load(step: tf.Tensor) -> dict[str, tf.Tensor]:
    arrays = tf.numpy_function(
      make, [step], list(types.values()), stateful=False
    )
    return dict(zip(types, arrays, strict=True))

  batches = tf.data.Dataset.range(first, last).map(
    load, num_parallel_calls=os.cpu_count(), deterministic=True
  )
  try:
    for arrays in batches.prefetch(4).as_numpy_iterator():
      names = np.array([name.decode() for name in arrays['id']])
      yield arrays | {'id': names}
  except tf.errors.OpError:
    if not errors:
      raise
    # TensorFlow says no more than that something was raised, and in what.
    raise errors[min(errors)] from None
