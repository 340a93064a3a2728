"""Prepares data sets and makes batches for training and evaluation.

`prepare` makes records, `train_batches` and `eval_batches` read them. See
`schema` for the contents of a batch. A record that cannot be used is counted
and listed; training replaces it, evaluation refuses it.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')  # TensorFlow does no math.

import tensorflow as tf

from input_pipeline.batches.eval import EvalBatches, eval_batches
from input_pipeline.batches.train import TrainBatches, train_batches
from input_pipeline.metric_writer import EventFileError, metric_writer
from input_pipeline.prepare import prepare
from input_pipeline.records import buffers
from input_pipeline.records.bad_records import DataError
from input_pipeline.records.catalog import count

__all__ = [
  'DataError',
  'EvalBatches',
  'EventFileError',
  'TrainBatches',
  'count',
  'eval_batches',
  'metric_writer',
  'prepare',
  'train_batches',
]

tf.config.set_visible_devices([], 'GPU')  # JAX uses them.

buffers.keep_freed_memory()
