"""Cost of decoding in a child process, over one-minute videos of 360p.

  python -m benchmarks.prepare --videos 100

The child's start is included. The videos are made by FFmpeg. The network is the
packaged EfficientNet-Lite0, once a second. The last table is of the whole
extraction by several workers, each with a child; one process has the network.
`benchmarks.prepare_parts` has each part of the work apart.
"""

import argparse
import functools
import pathlib
import resource
import tempfile
import time
from collections.abc import Callable, Iterator

import av
import numpy as np

from avl_jax.backbones import feature_extractor
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.extraction.video_features import Extraction
from avl_jax.extraction.workers import Workers
from avl_jax.features import audio, video

RATE, SOUND_RATE = 25, 44_100
HERE, CHILD = 'in this process', 'in a child'


def make(
  path: pathlib.Path, seconds: int, seed: int, height: int = 360
) -> None:
  """Writes a video of moving shapes and noise, 16:9, H.264 and AAC."""
  rng, width = np.random.default_rng(seed), height * 16 // 9
  page = rng.integers(0, 256, (height // 8, width // 4, 3), np.uint8)
  page = page.repeat(8, 0).repeat(8, 1)
  waveform = 0.3 * rng.standard_normal((2, seconds * SOUND_RATE), np.float32)
  with av.open(str(path), 'w') as container:
    options = {'preset': 'veryfast', 'crf': '28'}
    stream = container.add_stream('libx264', rate=RATE, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
    sound = container.add_stream('aac', rate=SOUND_RATE, layout='stereo')
    for i in range(seconds * RATE):
      left = 3 * i % width
      picture = np.ascontiguousarray(page[:, left : left + width])
      container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
      # In turns, as in the files of cameras and encoders.
      first = i * SOUND_RATE // RATE
      block = waveform[:, first : first + SOUND_RATE // RATE]
      frame = av.AudioFrame.from_ndarray(block.copy(), 'fltp', 'stereo')
      frame.sample_rate, frame.pts = SOUND_RATE, first
      container.mux(sound.encode(frame))
    container.mux(stream.encode(None))
    container.mux(sound.encode(None))


def processor() -> float:
  """Seconds of processor time of this process and of children that ended."""
  used = 0.0
  for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
    usage = resource.getrusage(who)
    used += usage.ru_utime + usage.ru_stime
  return used


def measure(
  paths: list[pathlib.Path], use: Callable[[Callable, Callable], object]
) -> dict[str, np.ndarray]:
  """Seconds, and seconds of processor time, of each way for all files.

  The ways take turns, so that both meet the same load of the machine.

  Args:
    paths: of the videos.
    use: called with what returns the waveform and what returns the frames.
  """
  totals = {HERE: np.zeros(2), CHILD: np.zeros(2)}

  def here(path):
    use(
      functools.partial(audio.read_audio, path),
      functools.partial(video.frames, path),
    )

  decoder = Decoder()
  for path in paths:
    for way, run in (
      (HERE, lambda path=path: here(path)),
      (
        CHILD,
        lambda path=path: decoder.run(
          path, lambda media: use(media.waveform, media.frames)
        ),
      ),
    ):
      before = np.array([time.perf_counter(), processor()])
      run()
      totals[way] += np.array([time.perf_counter(), processor()]) - before
  before = np.array([time.perf_counter(), processor()])
  decoder.close()  # Only now is the child's processor time known.
  totals[CHILD] += np.array([time.perf_counter(), processor()]) - before
  return totals


def opening(path: pathlib.Path, count: int = 50) -> tuple[float, float]:
  """Seconds until a child has started, and to open a file in it."""
  with Decoder() as decoder:
    times = [time.perf_counter()]
    for _ in range(count + 1):
      decoder.run(path, lambda media: None)
      times.append(time.perf_counter())
  steps = np.diff(times)
  return float(steps[0]), float(np.median(steps[1:]))


def uses() -> Iterator[tuple[str, Callable]]:
  """What is done with a file: name, and function of its two readers."""

  def decode(read, frames):
    read()
    for _ in frames(1, 224, False):
      pass

  def decode_clips(read, frames):
    decode(read, frames)
    for _ in frames(24, 112, True):
      pass

  extract = feature_extractor.Extractor(resnet152=feature_extractor.STAND_IN)

  def features(read, frames):
    audio.log_mel_spectrogram(read())
    extract('', frames=frames)

  yield 'sound, 1 frame a second', decode
  yield 'sound, 1 and 24 frames a second', decode_clips
  yield 'sound, 1 frame a second, network', features


def in_parallel(
  paths: list[pathlib.Path],
  count: int,
  extractor: feature_extractor.Extractor,
) -> float:
  """Seconds to extract all files with so many workers, starts included."""
  with tempfile.TemporaryDirectory() as cache, Workers(count) as workers:
    extractions = {
      decoder: Extraction(
        extractor, extractor.widths, pathlib.Path(cache), decoder
      )
      for decoder in workers.decoders
    }
    began = time.perf_counter()
    for _ in workers.each(
      paths, lambda path, decoder: extractions[decoder](path)
    ):
      pass
    return time.perf_counter() - began


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--videos', type=int, default=100)
  parser.add_argument('--seconds', type=int, default=60)
  parser.add_argument('--workers', type=int, nargs='*', default=[1, 2])
  options = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    paths = [pathlib.Path(folder, f'{i}.mp4') for i in range(options.videos)]
    for i, path in enumerate(paths):
      if i < 2:
        make(path, options.seconds, i)
      else:
        path.hardlink_to(paths[i % 2])
    start, opened = opening(paths[0])
    print(f'{start:.2f} s to start a child, {1000 * opened:.0f} ms to open')
    print(f'| {options.videos} videos | | seconds | of processor | ratio |')
    print('| --- | --- | --- | --- | --- |')
    for name, use in uses():
      use(
        functools.partial(audio.read_audio, paths[0]),
        functools.partial(video.frames, paths[0]),
      )  # compiles the network
      totals = measure(paths, use)
      for way, (seconds, used) in totals.items():
        ratio = totals[way] / totals[HERE]
        print(
          f'| {name} | {way} | {seconds:.1f} | {used:.1f} | '
          f'{ratio[0]:.3f}, {ratio[1]:.3f} |',
          flush=True,
        )
    extractor = feature_extractor.Extractor(
      resnet152=feature_extractor.STAND_IN
    )
    in_parallel(paths[:1], 1, extractor)  # compiles the network
    print('| workers | seconds | hours of video an hour |')
    print('| --- | --- | --- |')
    for count in options.workers:
      seconds = in_parallel(paths, count, extractor)
      speed = len(paths) * options.seconds / seconds
      print(f'| {count} | {seconds:.1f} | {speed:.1f} |', flush=True)


if __name__ == '__main__':
  main()
