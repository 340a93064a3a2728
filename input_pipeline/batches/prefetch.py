"""Makes batches in other threads before they are needed."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from input_pipeline.schema import Batch

BUFFER = 4  # batches that are ready before they are needed


def prefetch(
  make_batch: Callable[[int], Batch],
  dtypes: Mapping[str, type],
  first: int,
  last: int,
  at_once: int,
) -> Iterator[Batch]:
  """Yields the batches of steps `first` to `last` - 1, in order.

  Args:
    make_batch: makes the batch of a step; several threads call it at a time.
      An error that it raises is raised when that batch is due.
    dtypes: name -> type of each array of a batch; str for text.
    first: the first step.
    last: the step after the last one.
    at_once: number of batches in the making, each by a thread of its own.
  """
  types = {name: tf.as_dtype(np.dtype(t)) for name, t in dtypes.items()}
  errors: dict[int, Exception] = {}

  def make(step: np.ndarray) -> list[np.ndarray]:
    try:
      arrays = make_batch(int(step))
    except Exception as error:
      errors[int(step)] = error
      raise
    # TensorFlow takes text beyond ASCII only as bytes.
    names = np.array([name.encode() for name in arrays['id']], object)
    return [(arrays | {'id': names})[key] for key in types]

  def load(step: tf.Tensor) -> dict[str, tf.Tensor]:
    arrays = tf.numpy_function(
      make, [step], list(types.values()), stateful=False
    )
    return dict(zip(types, arrays, strict=True))

  batches = tf.data.Dataset.range(first, last).map(
    load, num_parallel_calls=at_once, deterministic=True
  )
  options = tf.data.Options()
  # There is nothing to tune. The tuner's thread sleeps for up to a minute at a
  # time, and the end of the iterator would wait for it.
  options.autotune.enabled = False
  batches = batches.prefetch(BUFFER).with_options(options)
  try:
    for arrays in batches.as_numpy_iterator():
      names = np.array([name.decode() for name in arrays['id']])
      yield arrays | {'id': names}
  except tf.errors.OpError:
    if not errors:
      raise
    # TensorFlow's error has only the message of the one that was raised.
    raise errors[min(errors)] from None
