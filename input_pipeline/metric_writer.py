"""Metric writer: TensorBoard's events, through clu."""

import os

import tensorflow as tf
from clu import metric_writers

EventFileError = tf.errors.OpError  # An event file cannot be written.


def metric_writer(
  workdir: str | os.PathLike | None, *others: metric_writers.MetricWriter
) -> metric_writers.MetricWriter:
  """Opens a writer of events in a folder, and to other writers before it.

  Args:
    workdir: of the run; None: events are not written.
    *others: writers that get everything too.
  """
  writers = list(others)
  if workdir is not None:
    writers.append(metric_writers.SummaryWriter(str(workdir)))
  return metric_writers.MultiWriter(writers)
