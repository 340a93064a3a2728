"""python -m tests.helpers.damaged_reader FOLDER FIRST LAST: reads bad files.

Reads each file of a folder as it is, then damaged once per seed, through the
project's functions. Prints a line of JSON before and one after each: a file
whose second line is missing has ended this process.
"""

import json
import pathlib
import resource
import signal
import sys
import tempfile
import traceback

import numpy as np

from avl_jax.features import MediaError, audio, images, video
from tests.helpers import corpus

MOST_SECONDS = 120  # until a file counts as one that is never read
MEMORY = 6 * 2**30  # bytes of addresses; threads take 8 MiB each
PICTURES = tuple(f'.{kind}' for kind in corpus.IMAGES)


def main(folder: str, first: int, last: int) -> None:
  """Reads the files with the seeds from `first` to `last` - 1; -1: whole."""
  resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
  # The system's own way to handle the alarm ends the process.
  for path in sorted(pathlib.Path(folder).iterdir()):
    content = path.read_bytes()
    with tempfile.TemporaryDirectory() as other:
      target = pathlib.Path(other) / path.name
      for seed in range(first, last):
        line = {'file': path.name, 'seed': seed}
        print(json.dumps(line), flush=True)
        data = content if seed < 0 else corpus.damage(content, seed)
        target.write_bytes(data)
        signal.alarm(MOST_SECONDS)
        line['found'] = read(target, data)
        signal.alarm(0)
        print(json.dumps(line), flush=True)


def read(path: pathlib.Path, data: bytes) -> dict[str, str | list[int]]:
  """Shapes of the results, reasons of MediaErrors, or other tracebacks."""
  ways = {
    'sound': lambda: sound(audio.read_audio(path)),
    'bytes': lambda: sound(audio.read_audio(data)),
    'piece of sound': lambda: sound(audio.read_audio(path, start=0.4, end=0.7)),
    'film': lambda: film(path),
    'piece of film': lambda: film(path, 1.1, 1.6),
  }
  if path.suffix in PICTURES:
    ways = {'image': lambda: picture(images.read_image(path))}
  found = {}
  for way, call in ways.items():
    try:
      found[way] = call()
    except MediaError as error:
      found[way] = str(error.reason)
    except BaseException:
      found[way] = traceback.format_exc()
  return found


def sound(waveform: np.ndarray) -> list[int]:
  """Checks a waveform; its shape."""
  assert waveform.dtype == np.float32
  assert waveform.ndim == 1
  assert np.isfinite(waveform).all()
  return list(waveform.shape)


def film(path: pathlib.Path, *piece: float) -> list[int]:
  """Checks the frames of a video; their number and the shape of one."""
  count, shape = 0, (16, 16, 3)
  for frame in video.frames(path, 4, 16, True, *piece):
    assert frame.dtype == np.uint8
    assert frame.shape == shape
    count += 1
  return [count, *shape]


def picture(pixels: np.ndarray) -> list[int]:
  """Checks an image; its shape."""
  assert pixels.dtype == np.uint8
  assert pixels.ndim == 3
  assert pixels.shape[2] == 3
  return list(pixels.shape)


if __name__ == '__main__':
  main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
