"""How fast clips of untrimmed videos are made, beside the release's way.

  python -m benchmarks.input_pipeline
  python -m benchmarks.input_pipeline --videos=16 --batches=8

Writes videos of random content in the layout of HowTo100M's features (390 s,
about 7 MB each), prepares their records, and cuts 32 random windows of 10 s of
each video of a batch: by this program, and as the authors' loader does, which
reads three whole npz files a video. Clips are counted per second of CPU time,
all threads together, so that other work on the machine does not count; the
thesis' training takes 406 of them a second and core on 16 cores.
"""

import argparse
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np

import input_pipeline
from input_pipeline import preprocess
from input_pipeline.datasets import videos

CLIPS, FRAMES = 32, 1000


def write_videos(folder: pathlib.Path, count: int, seconds: int) -> list[str]:
  """Writes features of random content; returns their paths in the list."""
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
  return paths


def release_way(
  folder: pathlib.Path, paths: list[str], batch_size: int
) -> Iterator[dict[str, np.ndarray]]:
  """Batches by whole reads of npz files and slicing in Python."""
  rng = np.random.default_rng(0)
  while True:
    clips = []
    for path in rng.choice(paths, batch_size, replace=False):
      stem = folder / path / path.rsplit('/', 1)[-1]
      example = {
        name: np.load(f'{stem}_{suffix}.npz')[key]
        for name, suffix, key in (
          ('spectrogram', 'spec', 'arr_0'),
          ('visual_2d', '2d', 'features'),
          ('visual_3d', '3d', 'features'),
        )
      }
      example['spectrogram'] = example['spectrogram'].T
      starts = preprocess.random_starts(
        len(example['spectrogram']), FRAMES, CLIPS, rng
      )
      clips += [preprocess.cut_clip(example, s, FRAMES) for s in starts]
    yield {key: np.stack([c[key] for c in clips]) for key in clips[0]}


def measure(name: str, take: Callable[[], int]) -> None:
  """Prints clips a second, by the clock and by the processor."""
  take()  # Files into the cache, threads into being.
  wall, cpu = time.perf_counter(), time.process_time()
  clips = take()
  wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
  print(
    f'{name:40} {clips / wall:8,.0f} clips a second, {clips / cpu:8,.0f} a '
    'second of one core'
  )


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--videos', type=int, default=64)
  parser.add_argument('--seconds', type=int, default=390)
  parser.add_argument('--batches', type=int, default=4)
  options = parser.parse_args()
  batch_size = min(128, options.videos)
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    paths = write_videos(folder, options.videos, options.seconds)
    input_pipeline.prepare(
      datasets=('videos/howto100m',), data_dir=name, media_dir=name
    )
    size = sum(f.stat().st_size for f in folder.rglob('*.npz'))
    records = sum(f.stat().st_size for f in folder.rglob('*array_record*'))
    for what, total in (('npz', size), ('records', records)):
      a_clip = total / len(paths) / CLIPS
      print(f'{what}: {a_clip / 1e3:,.0f} kB are read for a clip')
    batches = input_pipeline.train_batches(
      datasets=('videos/howto100m',),
      split='train',
      batch_size=batch_size,
      clips_per_example=CLIPS,
      num_frames=FRAMES,
      augmentation={},
      distinct_groups=False,
      seed=1,
      data_dir=name,
    )
    by_release = release_way(folder, paths, batch_size)

    def alone() -> int:
      steps = range(options.batches)
      return sum(len(batches.batch(step)['visual']) for step in steps)

    def ahead() -> int:
      steps = batches.from_step(0, options.batches)
      return sum(len(batch['visual']) for batch in steps)

    def theirs() -> int:
      steps = range(options.batches)
      return sum(len(next(by_release)['visual']) for _ in steps)

    measure("the release's way, one worker", theirs)
    measure('this program, one worker', alone)
    measure(f'this program, {os.cpu_count()} workers and batches', ahead)


if __name__ == '__main__':
  main()
