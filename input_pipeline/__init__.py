"""Batches for training and evaluation; the contract between data and model.

A batch is a dict of numpy arrays, N = videos x clips on this host:
  spectrogram  float32 [N, T, 40]  log-mel in dB below the file's loudest cell,
                                   zero-padded
  num_frames   int32 [N]           frames that are not padding
  visual       float32 [N, V]      max-pooled over the clip, each stream
                                   L2-normalised, 2-D then 3-D
  image        uint8 [N, 224, 224, 3]  in place of `visual`, if it is asked for
  words        float32 [N, W, E]   vectors of the caption's words, zero-padded;
                                   where word vectors are asked for
  id           str [N]             never sent to a device
Evaluation batches carry `subset` too, str [N]: the split an example is from.

What a step sees is a function of (seed, step) alone: never of the workers, the
hosts, the time or the steps before. A record that cannot be used is counted and
listed; in training another takes its place, an evaluation refuses it.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')  # It only moves data here.

import tensorflow as tf

from input_pipeline.batches.eval import EvalBatches, eval_batches
from input_pipeline.batches.train import TrainBatches
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

tf.config.set_visible_devices([], 'GPU')  # They belong to JAX.

buffers.keep_freed()

train_batches = TrainBatches
