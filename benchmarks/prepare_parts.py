"""Processor seconds a minute of video, for each part of preparation apart.

  python -m benchmarks.prepare_parts --heights 360 720

Beside ours, in a child process whose start is included, are plain uses of PyAV
and of the program `ffmpeg`, if it is installed: they decode, scale and resample
alike, without checks, limits, a common clock or the rotation of pictures.
"""

import argparse
import functools
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator

import av
import jax
import numpy as np

from avl_jax.backbones import feature_extractor, resnext3d
from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.features import SAMPLE_RATE, audio
from benchmarks import prepare

# Part -> pictures a second, shorter side, whether the centre is cut out.
PICTURES = {
  'pictures for 2-D': (1, 224, False),
  'pictures for 3-D': (24, 112, True),
}
CLIPS = 90  # a minute


def spent(use: Callable, inputs: Iterable) -> float:
  """Processor seconds of `use(inputs)`, with those of children that ended."""
  before = prepare.processor()
  use(inputs)
  return prepare.processor() - before


def ours(
  parent: Decoder, read: Callable
) -> Callable[[Iterable[pathlib.Path]], None]:
  """Uses files in a child of their own; `read` is called with each."""

  def use(paths):
    with parent.sibling() as decoder:
      for path in paths:
        decoder.run(path, read)

  return use


def drain(frames: Iterator) -> None:
  """Takes all pictures."""
  for _ in frames:
    pass


def plain_sound(paths: Iterable[pathlib.Path]) -> None:
  """Decodes and resamples sound with PyAV."""
  for path in paths:
    resampler = av.AudioResampler('flt', 'mono', SAMPLE_RATE)
    with av.open(str(path)) as container:
      for frame in container.decode(audio=0):
        for block in resampler.resample(frame):
          block.to_ndarray()


def plain_pictures(
  paths: Iterable[pathlib.Path], rate: int, side: int, is_cut: bool
) -> None:
  """Decodes pictures with PyAV; scales the first of each period."""
  for path in paths:
    with av.open(str(path)) as container:
      (stream,) = container.streams.video
      stream.thread_type = 'AUTO'
      width, due = round(stream.width * side / stream.height), 0
      for frame in container.decode(stream):
        if frame.time * rate >= due:
          due += 1
          picture = frame.to_ndarray(format='rgb24', width=width, height=side)
          if is_cut:
            picture = picture[:, (width - side) // 2 :][:, :side]


def ffmpeg(*options: str) -> Callable[[Iterable[pathlib.Path]], None] | None:
  """Uses files with the program; None: it is not installed."""
  program = shutil.which('ffmpeg')

  def use(paths):
    for path in paths:
      command = [program, '-v', 'error', '-i', str(path), *options, 'pipe:1']
      subprocess.run(command, stdout=subprocess.DEVNULL, check=True)

  return use if program else None


def decoding() -> Iterator[tuple[str, list[Callable | None]]]:
  """Name of each part of decoding, and how ours, PyAV and ffmpeg do it."""
  parent = Decoder()  # It tells once which limits hold.
  raw = ('-vn', '-ac', '1', '-ar', str(SAMPLE_RATE), '-f', 'f32le')
  yield (
    'sound',
    [ours(parent, lambda media: media.waveform()), plain_sound, ffmpeg(*raw)],
  )
  for name, (rate, side, is_cut) in PICTURES.items():
    filters = f'fps={rate},scale=-2:{side}' + f',crop={side}:{side}' * is_cut
    options = ('-an', '-vf', filters, '-pix_fmt', 'rgb24', '-f', 'rawvideo')
    yield (
      name,
      [
        ours(
          parent, lambda media, p=(rate, side, is_cut): drain(media.frames(*p))
        ),
        functools.partial(plain_pictures, rate=rate, side=side, is_cut=is_cut),
        ffmpeg(*options),
      ],
    )


def computing(clips: int) -> Iterator[tuple[str, float]]:
  """Name and processor seconds a minute of what is computed after decoding."""
  rng = np.random.default_rng(0)
  waveform = rng.standard_normal(60 * SAMPLE_RATE, np.float32)
  audio.log_mel_spectrogram(waveform)
  yield 'spectrogram', spent(audio.log_mel_spectrogram, waveform)
  extract = feature_extractor.Extractor(resnet152=feature_extractor.STAND_IN)
  images = list(rng.integers(0, 256, (60, 224, 398, 3), np.uint8))
  extract.image_features(images[:8])
  yield 'EfficientNet-Lite0', spent(extract.image_features, images)
  network = resnext3d.ResNeXt3D()
  batch = rng.integers(0, 256, (clips, *resnext3d.CLIP), np.uint8)
  shapes = jax.eval_shape(
    functools.partial(network.init, train=False), jax.random.key(0), batch[:1]
  )
  variables = jax.tree.map(
    lambda x: np.abs(rng.standard_normal(x.shape, x.dtype)), shapes
  )
  apply = jax.jit(functools.partial(network.apply, variables, train=False))
  jax.device_get(apply(batch))
  seconds = spent(lambda batch: jax.device_get(apply(batch)), batch)
  yield 'ResNeXt-101, random weights', seconds * CLIPS / clips


def main() -> None:
  """Prints the tables."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--heights', type=int, nargs='+', default=[360, 720])
  parser.add_argument('--videos', type=int, default=4)
  parser.add_argument('--clips', type=int, default=4)
  options = parser.parse_args()
  print('| height | | ours, in a child | PyAV | ffmpeg |')
  print('| --- | --- | --- | --- | --- |')
  for height in options.heights:
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder, 'video.mp4')
      prepare.make(path, 60, 0, height)
      paths = [path] * options.videos
      for name, ways in decoding():
        each = [
          f'{spent(use, paths) / len(paths):.2f}' if use else '' for use in ways
        ]
        print(f'| {height} | {name} | {" | ".join(each)} |', flush=True)
  print('| computed afterwards | processor seconds |')
  print('| --- | --- |')
  for name, seconds in computing(options.clips):
    print(f'| {name} | {seconds:.2f} |', flush=True)


if __name__ == '__main__':
  main()
