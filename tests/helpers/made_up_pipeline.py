"""An input pipeline of noise: no TensorFlow, no records."""

import numpy as np

from avl_jax.features.media import Media

VISUAL, FRAMES, CLIPS = 6, 32, 8


def batch(seed: int) -> dict:
  rng = np.random.default_rng(seed)
  return {
    'spectrogram': rng.uniform(-80, 0, (CLIPS, FRAMES, 40)).astype(np.float32),
    'num_frames': np.full(CLIPS, FRAMES, np.int32),
    'visual': rng.standard_normal((CLIPS, VISUAL), dtype=np.float32),
    'id': np.array([f'{seed}-{i}' for i in range(CLIPS)]),
  }


class MadeUpTraining:
  """Batches of noise, a function of the step."""

  fingerprint, visual_width, networks = 'made up', VISUAL, {}
  is_closed = False

  def from_step(self, first, last):
    return (batch(step) for step in range(first, last))

  def close(self):
    self.is_closed = True


class MadeUpEvaluation:
  """One batch of noise, with media."""

  num_examples, num_queries, fingerprint = CLIPS, 0, 'made up too'
  has_media, networks, num_videos = True, {}, 0

  def __iter__(self):
    yield batch(99) | {'subset': np.array(['test'] * CLIPS)}

  @property
  def media(self):
    image, sound = np.zeros((8, 8, 3), np.uint8), np.zeros(160, np.float32)
    return [Media(str(name), '', image, sound) for name in batch(99)['id']]


class Writer:
  """A metric writer that hands everything on to the others."""

  def __init__(self, workdir, *others):
    self.workdir, self._others = workdir, others

  def write_scalars(self, step, scalars):
    for other in self._others:
      other.write_scalars(step, scalars)

  def write_texts(self, step, texts):
    for other in self._others:
      other.write_texts(step, texts)

  def flush(self):
    for other in self._others:
      other.flush()

  def close(self):
    for other in self._others:
      other.close()


class Pipeline:
  """An input pipeline of noise; remembers the calls and the batches."""

  metric_writer = Writer

  def __init__(self):
    self.calls = []
    self.opened = []  # batches of training

  def prepare(self, **options):
    self.calls.append(('prepare', options))

  def count(self, datasets, split, data_dir):
    self.calls.append(('count', datasets, split, data_dir))
    return 24

  def train_batches(self, **options):
    self.calls.append(('train_batches', options))
    self.opened.append(MadeUpTraining())
    return self.opened[-1]

  def eval_batches(self, **options):
    self.calls.append(('eval_batches', options))
    return {'noise': MadeUpEvaluation()}
