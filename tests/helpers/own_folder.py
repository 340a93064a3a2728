"""A folder of a person's own videos, and one of each kind of bad file."""

import functools
import os
import pathlib
import shutil

import av
import numpy as np

from avl_jax.features import video
from input_pipeline.datasets.own_videos import preparation
from tests.helpers import media

RATE = 16_000
NETWORKS = {'visual_2d': 'efficientnet_lite0'}
WIDTH = 1280
GOOD = {  # path -> seconds
  'a.mp4': 3,
  'a.mkv': 4,
  'sub/a.mp4': 5,
  'été/東京 1.mp4': 4,
  'long.mp4': 26,
}
BAD = {  # path -> status
  'a folder elsewhere': 'unsafe name',
  'copy of a.mkv': 'duplicate',
  'cut.mp4': 'unreadable',
  'empty.mov': 'unreadable',
  'garbled.mp4': 'unreadable',
  'gone.mp4': 'missing',
  'linked.mp4': 'unsafe name',
  'list.ts': 'unreadable',
  'mute.mp4': 'no sound',
  'one frame.mp4': 'too short',
  'short.mp4': 'too short',
  'silent.mp4': 'silent',
  'sound only.mp4': 'no picture',
}


class Extractor:
  """Features that are a function of the mean of each second's picture."""

  def __init__(self, fails=()):
    self.calls, self.seconds = [], {}
    self._fails = dict(fails)

  def __call__(self, path, start, end, frames=None):
    """Returns a row for each second; raises what `fails` names."""
    self.calls.append(path.name)
    if path.name in self._fails:
      raise self._fails[path.name]
    rows = [
      np.linspace(0, frame.mean(), WIDTH)
      for frame in (frames or functools.partial(video.frames, path))(
        1, 48, False, start, end
      )
    ]
    return {'visual_2d': np.float16(rows).reshape(-1, WIDTH)}


def tone(number: float, seconds: float) -> np.ndarray:
  """float32 [samples]: a tone that rises from 200 + 90 `number` Hz."""
  t = np.arange(round(seconds * RATE)) / RATE
  low = 200 + 90 * number
  return np.float32(0.4 * np.sin(2 * np.pi * (low * t + 20 * t**2)))


def write_good(root: pathlib.Path) -> None:
  """Writes the videos of `GOOD`."""
  for number, (name, seconds) in enumerate(GOOD.items()):
    media.write(root / name, tone(number, seconds), seconds=seconds)


def write_bad(root: pathlib.Path) -> None:
  """Writes the files of `BAD`, and some that are not listed at all."""
  outside = root.parent / 'outside'
  media.write(outside / 'other.mp4', tone(20, 2), seconds=2)
  (root / 'a folder elsewhere').symlink_to(outside)
  (root / 'linked.mp4').symlink_to(outside / 'other.mp4')
  (root / 'gone.mp4').symlink_to(root / 'nothing')
  shutil.copy(root / 'a.mkv', root / 'copy of a.mkv')
  whole = (root / 'long.mp4').read_bytes()
  (root / 'cut.mp4').write_bytes(whole[: len(whole) // 2])
  (root / 'empty.mov').write_bytes(b'')
  (root / 'garbled.mp4').write_bytes(b'\0\0\0\x18ftypisom' + b'no video' * 99)
  playlist = '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n'
  (root / 'list.ts').write_text(playlist)
  media.write(root / 'mute.mp4', None, seconds=3)
  media.write(root / 'one frame.mp4', tone(21, 5), seconds=1 / 8)
  media.write(root / 'short.mp4', tone(22, 1), seconds=1)
  media.write(root / 'silent.mp4', np.zeros(3 * RATE), seconds=3)
  with av.open(str(root / 'sound only.mp4'), 'w') as container:
    stream = container.add_stream('aac', rate=RATE, layout='mono')
    media.write_sound(container, stream, tone(23, 3))
  # These are no videos.
  (root / 'list.m3u8').write_text(playlist)
  (root / 'notes.txt').write_text('a note')
  (root / 'picture.jpg').write_bytes(b'\xff\xd8')
  (root / '._a.mp4').write_bytes(b'of another system')
  (root / '.hidden').mkdir()
  shutil.copy(root / 'a.mp4', root / '.hidden' / 'b.mp4')
  age(root)


def age(root: pathlib.Path) -> None:
  """Makes all files old enough for their digests to be remembered."""
  for path in root.rglob('*'):
    if path.is_file() and not path.is_symlink():
      os.utime(path, (1_700_000_000, 1_700_000_000))


def prepare(
  media_dir, data_dir, extractor=None, kind='untrimmed', names=None, **options
):
  """Makes the records with a small extractor; returns it."""
  extractor = extractor or Extractor()
  preparation.prepare(
    kind,
    data_dir=str(data_dir),
    media_dir=str(media_dir),
    networks_of=lambda _: names or NETWORKS,
    make_extractor=lambda: extractor,
    **options,
  )
  return extractor


def records(data_dir, kind='untrimmed') -> pathlib.Path:
  """The folder of the only version of the records."""
  (folder,) = (pathlib.Path(data_dir) / 'own_videos' / kind).iterdir()
  return folder
