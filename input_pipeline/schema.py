"""Batch contract between the input pipeline and the models.

A batch is a dict of numpy arrays, N = videos x clips on this host:
  spectrogram  float32 [N, T, 40]      log-mel in dB below the loudest cell of
                                       the file, zero-padded
  num_frames   int32 [N]               frames that are not padding
  visual       float32 [N, V]          max-pooled over the clip, or the feature
                                       in its centre (visual_pooling), each
                                       stream L2-normalised, 2-D then 3-D
  image        uint8 [N, 224, 224, 3]  replaces `visual` if streams=('image',)
  words        float32 [N, W, E]       vectors of the caption's words,
                                       zero-padded; present if word vectors are
                                       configured
  candidates   int32 [N, K]            where the K candidates of the clip are,
                                       relative to its own row; the first is
                                       itself, unless the clip is a candidate
                                       only; present if K > 1
  id           str [N]                 never sent to a device
Evaluation batches also have `subset`, str [N]: the split of each example.

Training batches are a function of (seed, step) alone. Workers, hosts, time and
earlier steps do not change them.
"""

from types import MappingProxyType

import numpy as np

Batch = dict[str, np.ndarray]
NO_WORDS = MappingProxyType({'vectors': ''})  # batches without `words`
