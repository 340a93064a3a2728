"""The input pipeline as the modes see it.

`main.py` hands in the package `input_pipeline`, which has these functions; a
test hands in a fake. The modes therefore import no TensorFlow.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from avl_jax.retrieval.evaluation import EvalBatches

Batch = Mapping[str, np.ndarray]


class TrainBatches(Protocol):
  """Batches of training clips of this host.

  Attributes:
    fingerprint: of the records that are read.
    networks: stream -> name of the network of its features, where known.
    visual_width: V of the batches; None: they have images.
    from_step: (first, last) -> the batches of steps `first` to `last` - 1.
  """

  fingerprint: str
  networks: Mapping[str, str]
  visual_width: int | None
  from_step: Callable[[int, int], Iterator[Batch]]

  def close(self) -> None:
    """Ends the processes that make batches, if there are any."""
    ...


class MetricWriter(Protocol):
  """Writer of a run's metrics, as clu defines it."""

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    """Writes numbers by name."""
    ...

  def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
    """Writes texts by name."""
    ...

  def flush(self) -> None:
    """Waits until everything is on the disk."""
    ...

  def close(self) -> None:
    """Closes the files."""
    ...


class InputPipeline(Protocol):
  """Functions of `input_pipeline` that the modes call.

  Attributes:
    prepare: makes the records of data sets that are missing.
    count: (datasets, split, data_dir) -> number of examples.
    train_batches: opens the records for training.
    eval_batches: opens the records of each evaluation, by its name.
    metric_writer: (workdir or None, *other writers) -> writer of TensorBoard's
      events in the workdir, and to the other writers before.
  """

  prepare: Callable[..., None]
  count: Callable[[Sequence[str], str, str], int]
  train_batches: Callable[..., TrainBatches]
  eval_batches: Callable[..., Mapping[str, EvalBatches]]
  metric_writer: Callable[..., MetricWriter]
