"""Loaders of clips of untrimmed videos, for benchmarks.input_pipeline.

Each loader is a function of (folder, batch size, workers). It returns a
function that yields a given number of batches and prefetches none for later
calls.
"""

import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator
from unittest import mock

import numpy as np
import tensorflow as tf

import input_pipeline
from input_pipeline.datasets.videos import builder as videos
from input_pipeline.records import splits

CLIPS, FRAMES, SECONDS = 32, 1000, 10
WAYS = {  # name in the table -> function
  "the release's way": 'release',
  'tf.data, TFRecord': 'tfrecord',
  'this program': 'ours',
  'this program, processes': 'ours_in_processes',
}
NAMES = ('videos/howto100m',)


def write_videos(folder: pathlib.Path, count: int, seconds: int) -> None:
  """Writes random features and their list, in HowTo100M's layout."""
  paths = [f'made/up/v{i}' for i in range(count)]
  rng = np.random.default_rng(0)
  for path in paths:
    stem = folder / path / path.rsplit('/', 1)[-1]
    stem.parent.mkdir(parents=True)
    spectrogram = rng.normal(-40, 9, (40, 100 * seconds)).astype('f2')
    np.savez(f'{stem}_spec.npz', spectrogram)
    for stream, rate in (('2d', 1), ('3d', 1.5)):
      features = rng.random((int(rate * seconds), 2048), 'f4').astype('f2')
      np.savez(f'{stem}_{stream}.npz', features=features)
  (folder / videos.LIST).write_text('\n'.join(['path', *paths]))


def prepare(folder: str, media: str = '') -> None:
  """Prepares the records."""
  input_pipeline.prepare(
    datasets=NAMES, data_dir=folder, media_dir=media or folder
  )


def write_tfrecords(folder: str) -> None:
  """Writes the prepared records into TFRecord files, too."""
  ((split, _),) = splits.open_splits(*NAMES, ('train',), folder)
  for first in range(0, len(split.records), 16):
    with tf.io.TFRecordWriter(f'{folder}/{first}.tfrecord') as writer:
      for i in range(first, min(first + 16, len(split.records))):
        writer.write(split.records[i])


Turn = Callable[[int], Iterator[dict]]


def release(folder: str, batch_size: int, workers: int) -> Turn:
  """The authors' loader: reads whole npz files and slices them in Python.

  As in the authors' PyTorch loader, spectrograms stay float16, and workers are
  processes, each of which makes whole batches.
  """
  del workers
  return functools.partial(itertools.islice, _release(folder, batch_size))


def _release(folder: str, batch_size: int) -> Iterator[dict]:
  rng = np.random.default_rng()
  videos = sorted(pathlib.Path(folder).rglob('*_spec.npz'))
  while True:
    clips = []
    for path in rng.choice(videos, batch_size, replace=False):
      stem = str(path).removesuffix('_spec.npz')
      audio = np.load(path)['arr_0']
      streams = [
        (np.load(f'{stem}_{name}.npz')['features'].astype(np.float32), rate)
        for name, rate in (('2d', 1.0), ('3d', 1.5))
      ]
      seconds = audio.shape[1] // 100
      for start in rng.integers(0, seconds - SECONDS - 1, CLIPS):
        first, visual = max(0, 100 * start - 2), []
        for features, rate in streams:
          end = int(rate * (start + SECONDS)) + 1
          pooled = features[int(rate * start) : end].max(0)
          visual.append(pooled / max(np.linalg.norm(pooled), 1e-12))
        frames = audio[:, first : first + FRAMES]
        clips.append((frames, np.concatenate(visual)))
    yield {
      'spectrogram': np.stack([frames for frames, _ in clips]),
      'visual': np.stack([visual for _, visual in clips]),
    }


def tfrecord(folder: str, batch_size: int, workers: int) -> Turn:
  """A plain tf.data graph over TFRecord files of the same records."""

  def feature(fields, name, width):
    raw = tf.io.decode_raw(fields[name], tf.float16)
    return tf.reshape(raw, (-1, width))

  def cut(record):
    texts = ('spectrogram', 'visual_2d/value', 'visual_3d/value')
    fields = tf.io.parse_single_example(
      record, {name: tf.io.FixedLenFeature((), tf.string) for name in texts}
    )
    audio = feature(fields, 'spectrogram', 40)
    last = tf.shape(audio)[0] // 100 - SECONDS - 1
    starts = tf.random.uniform((CLIPS,), 0, last, tf.int32)
    first = tf.maximum(0, 100 * starts - 2)
    frames = tf.gather(audio, first[:, None] + tf.range(FRAMES))
    visual = []
    for name, rate in (('visual_2d/value', 1.0), ('visual_3d/value', 1.5)):
      first = tf.cast(rate * tf.cast(starts, tf.float32), tf.int32)
      places = first[:, None] + tf.range(int(rate * SECONDS) + 1)
      window = tf.gather(feature(fields, name, 2048), places)
      pooled = tf.cast(tf.reduce_max(window, 1), tf.float32)
      visual.append(tf.math.l2_normalize(pooled, 1))
    return {
      'spectrogram': tf.cast(frames, tf.float32),
      'visual': tf.concat(visual, 1),
    }

  files = sorted(map(str, pathlib.Path(folder).glob('*.tfrecord')))
  videos = tf.data.TFRecordDataset(files).repeat()
  batches = videos.map(cut, num_parallel_calls=workers).batch(batch_size)
  options = tf.data.Options()
  options.threading.private_threadpool_size = workers
  options.autotune.enabled = False  # Its thread would prolong each turn.
  batches = batches.with_options(options)

  def turn(count: int) -> Iterator[dict]:
    for batch in batches.take(count).as_numpy_iterator():
      yield {k: v.reshape(-1, *v.shape[2:]) for k, v in batch.items()}

  return turn


def ours(
  folder: str, batch_size: int, workers: int, processes: int = 0
) -> Turn:
  """This program's loader, with threads as workers."""
  batches = input_pipeline.train_batches(
    datasets=NAMES,
    split='train',
    batch_size=batch_size,
    clips_per_example=CLIPS,
    num_frames=FRAMES,
    augmentation={},
    distinct_groups=False,
    seed=1,
    data_dir=folder,
    processes=processes,
  )
  first = itertools.count()

  def turn(count: int) -> Iterator[dict]:
    step = count * next(first)
    with mock.patch('os.cpu_count', return_value=workers):
      yield from batches.from_step(step, step + count)

  return turn


def ours_in_processes(folder: str, batch_size: int, workers: int) -> Turn:
  """This program's loader, with processes as workers."""
  return ours(folder, batch_size, workers, processes=workers)
