"""Frames of video files: counts, sizes, pictures, rotation, malicious files."""

import itertools
import os
import struct

import av
import av.filter
import numpy as np
import pytest
import soundfile

from avl_jax.features import (
  EmptyMediaError,
  MediaError,
  MissingError,
  RefusedError,
  audio,
  video,
)
from avl_jax.features.ffmpeg import containers, filters
from tests.helpers import golden
from tests.helpers.lossless import (
  LOSSLESS,
  numbered,
  pattern,
  write,
  write_numbered,
)

PARAMS = {
  name: case['params']
  for name, case in golden.load('visual/extractor')[0]['sub'].items()
}


def indices(path, *args, **options):
  frames = video.frames(path, *args, **options)
  return [int(frame[0, 0, 0]) + 256 * int(frame[0, 0, 1]) for frame in frames]


@pytest.mark.parametrize('suffix', LOSSLESS)
def test_golden_frame_counts(tmp_path, suffix):
  for row in PARAMS['frame_counts']['rows']:
    path = write_numbered(
      tmp_path / f'video.{suffix}', row['source_frames'], row['source_fps']
    )
    assert indices(path, 1, 16, False) == row['source_index_at_1fps'], row
    fast = indices(path, 24, 16, True)
    assert len(fast) == row['frames_at_24fps'], row
    assert fast[:12] == row['source_index_at_24fps_first12']
    assert fast[-4:] == row['source_index_at_24fps_last4']


def test_golden_sizes(tmp_path, monkeypatch):
  """Checks the rule for all sizes of the table, frames for the small ones."""
  for row in PARAMS['filters']['rows']:
    width, height = row['width'], row['height']
    if row['rotation'] == 90:
      continue  # The release squeezes rotated pictures.
    for size, kind in ((224, '2d'), (112, '3d')):
      expected = row[kind]
      assert filters.scaled_size('', width, height, size) == (
        expected['scale_width'],
        expected['scale_height'],
      )
      if width * height < 200_000:
        picture = np.zeros((height, width, 3), np.uint8)
        path = write(tmp_path / 'video.nut', [picture])
        (frame,) = video.frames(path, 24, size, kind == '3d')
        assert list(frame.shape) == expected['frame']


def test_pictures_are_those_of_the_filters(tmp_path):
  """Random timestamps, YUV; expected: FFmpeg's own fps, scale and crop."""
  rng = np.random.default_rng(1)
  times = np.cumsum(rng.integers(1, 40, 60)).tolist()
  times = [time - times[0] for time in times]
  pictures = [np.roll(pattern(96, 168), i * 3, 1) for i in range(60)]
  path = write(tmp_path / 'video.nut', pictures, 60, 'ffv1', 'yuv420p', times)
  with av.open(str(path)) as container:
    stream = container.streams.video[0]
    for fps, crop in ((1, False), (24, True)):
      container.seek(0)
      graph = av.filter.Graph()
      steps = [('fps', str(fps)), ('scale', '52:30:flags=bicubic')]
      steps += [('crop', '30:30:11:0')] if crop else []
      graph.link_nodes(
        graph.add_buffer(template=stream),
        *(graph.add(*step) for step in steps),
        graph.add('format', 'rgb24'),
        graph.add('buffersink'),
      ).configure()
      expected = []
      for frame in itertools.chain(container.decode(stream), [None]):
        graph.push(frame)
        try:
          while True:
            expected.append(graph.pull().to_ndarray())
        except (av.BlockingIOError, av.EOFError):
          pass
      actual = list(video.frames(path, fps, 30, crop))
      assert len(expected) >= 19 * fps
      np.testing.assert_array_equal(actual, expected)


def test_crop_is_the_middle_of_the_scaled_frame(tmp_path):
  path = write(tmp_path / 'video.nut', [pattern(88, 160)], pixels='yuv420p')
  (whole,) = video.frames(path, 24, 112, False)
  (middle,) = video.frames(path, 24, 112, True)
  assert whole.shape == (112, 203, 3)
  np.testing.assert_array_equal(middle, whole[:, 45:157])


def test_scaling_is_bicubic(tmp_path):
  from PIL import Image

  picture = pattern(64, 96)
  path = write(tmp_path / 'video.nut', [picture])
  (frame,) = video.frames(path, 24, 40, False)
  smooth = Image.fromarray(picture).resize((60, 40), Image.Resampling.BICUBIC)
  # Pillow's kernel has a = -0.5, FFmpeg's a = -0.6; other filters differ more.
  error = np.abs(frame.astype(int) - np.array(smooth))
  assert error.mean() < 2
  assert frame.std() > 30


MATRICES = {  # (a, b, c, d) of (x, y) -> (ax + cy, bx + dy); expected picture
  (1, 0, 0, 1): lambda x: x,
  (0, 1, -1, 0): lambda x: np.rot90(x, -1),
  (-1, 0, 0, -1): lambda x: np.rot90(x, 2),
  (0, -1, 1, 0): lambda x: np.rot90(x, 1),
  (-1, 0, 0, 1): lambda x: x[:, ::-1],
  (1, 0, 0, -1): lambda x: x[::-1],
  (0, 1, 1, 0): lambda x: x.swapaxes(0, 1),
  (0, -1, -1, 0): lambda x: np.rot90(x, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize('matrix', MATRICES)
def test_upright(tmp_path, matrix):
  picture = pattern(48, 80)
  path = write(tmp_path / 'video.mov', [picture], codec='png', pixels='rgb24')
  content = path.read_bytes()
  identity = struct.pack('>9i', 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
  place = content.index(identity, content.index(b'tkhd'))
  a, b, c, d = (value << 16 for value in matrix)
  turned = struct.pack('>9i', a, b, 0, c, d, 0, 0, 0, 1 << 30)
  path.write_bytes(content[:place] + turned + content[place + 36 :])
  expected = MATRICES[matrix](picture)
  (frame,) = video.frames(path, 24, 48, False)
  np.testing.assert_array_equal(frame, expected)
  (frame,) = video.frames(path, 24, 48, True)
  top, left = ((n - 48) // 2 for n in expected.shape[:2])
  np.testing.assert_array_equal(
    frame, expected[top : top + 48, left : left + 48]
  )


@pytest.mark.parametrize(
  ('suffix', 'codec', 'pixels'),
  [
    ('mkv', 'ffv1', 'bgr0'),
    ('mp4', 'libx264', 'yuv420p'),
    ('ts', 'libx264', 'yuv420p'),
    ('avi', 'mpeg4', 'yuv420p'),
    ('flv', 'flv1', 'yuv420p'),
    ('mpg', 'mpeg2video', 'yuv420p'),
    ('wmv', 'wmv2', 'yuv420p'),
  ],
)
def test_a_part_is_that_of_the_whole(tmp_path, suffix, codec, pixels):
  path = write(
    tmp_path / f'video.{suffix}',
    list(numbered(300, (32, 48))),
    25,
    codec,
    pixels,
  )
  whole = np.stack(list(video.frames(path, 4, 32, False)))
  assert whole.shape == (48, 32, 48, 3)
  assert whole[:, 0, 0, 0].std() > 30
  for start, end in ((0, 3), (2.5, 7), (7, None), (9, 99), (13, 14)):
    part = list(video.frames(path, 4, 32, False, start, end))
    expected = whole[int(4 * start) : None if end is None else int(4 * end)]
    np.testing.assert_array_equal(
      np.reshape(part, (-1, *whole.shape[1:])), expected
    )


def test_frames_are_streamed(tmp_path):
  """The first frames of a long video do not need the rest of it."""
  path = write_numbered(tmp_path / 'video.mkv', 2000)
  frames = video.frames(path, 1, 16, False)
  assert next(frames)[0, 0, 0] == 12
  frames.close()
  assert sum(1 for _ in video.frames(path, 1, 16, False)) == 80


@pytest.mark.parametrize('suffix', ['nut', 'mkv', 'avi', 'mov'])
def test_there_is_nothing_after_the_end(tmp_path, suffix):
  path = write_numbered(tmp_path / f'video.{suffix}', 100)
  for start in (4, 9, 1e6, 1e30):
    assert indices(path, 24, 16, False, start) == []
  assert indices(path, 1, 16, False, 3, float('inf')) == [87]
  assert indices(path, 1, 16, False, 2, 2) == []


def test_a_video_that_begins_late_shows_its_first_picture(tmp_path):
  path = tmp_path / 'video.mkv'
  write(path, list(numbered(50)), times=range(60, 110))
  # Times count from the earliest stream: here the video stream itself,
  assert indices(path, 1, 16, False) == [12, 37]
  with av.open(str(tmp_path / 'both.mkv'), 'w') as both, av.open(path) as alone:
    sound = both.add_stream('pcm_s16le', rate=8000, layout='mono')
    stream = both.add_stream_from_template(alone.streams.video[0])
    samples = np.zeros((1, 8000), np.int16)
    frame = av.AudioFrame.from_ndarray(samples, 's16', 'mono')
    frame.sample_rate, frame.pts = 8000, 0
    both.mux(sound.encode(frame))
    for packet in alone.demux(video=0):
      if packet.size:
        packet.stream = stream
        both.mux(packet)
  # and here an audio stream that begins 2.4 seconds earlier.
  shown = [0, 0, 2, 27]
  assert indices(tmp_path / 'both.mkv', 1, 16, False) == shown
  assert indices(tmp_path / 'both.mkv', 1, 16, False, 1, 3) == shown[1:3]


def malicious_files(folder):
  """Yields (file name, content, expected message)."""
  good = write_numbered(folder / 'good.mkv', 100, size=(64, 64)).read_bytes()
  moov = write_numbered(folder / 'good.mov', 100).read_bytes()
  huge = write(
    folder / 'raw.avi', list(numbered(2)), 25, 'rawvideo', 'bgr24'
  ).read_bytes()
  place = huge.index(b'strf') + 12
  size = struct.pack('<ii', 60_000, 60_000)
  tall = write_numbered(folder / 'huge.mov', 1).read_bytes()
  inside = tall.index(b'IHDR') + 4
  sound = folder / 'sound.ogg'
  soundfile.write(sound, np.zeros(8000), 8000)
  strip = write_numbered(folder / 'strip.nut', 3, size=(16, 400)).read_bytes()
  playlist = (
    '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n'
  )
  garbled = bytearray(good)
  for i in range(len(good) // 2, len(good) // 2 + 500):
    garbled[i] ^= 0x5A
  return [
    ('empty.mp4', b'', '0 bytes'),
    ('notes.mp4', b'no video here\n' * 99, 'not a complete video of'),
    ('sound.mp4', sound.read_bytes(), 'no readable video stream'),
    ('half.mov', moov[: len(moov) // 2], 'not a complete video of'),
    ('half.mkv', good[: len(good) // 2], 'cut off'),
    ('begun.mkv', good[:300], 'not a complete|cut off'),
    ('garbled.mkv', bytes(garbled), 'damaged'),
    (
      'huge.avi',
      huge[:place] + size + huge[place + 8 :],
      'Expected at most .* pixels',
    ),
    ('huge.mov', tall[:inside] + size + tall[inside + 8 :], 'damag'),
    ('strip.nut', strip, '400 x 16'),
    (
      'list.m3u8',
      playlist.format('http://127.0.0.1:9/good.ts').encode(),
      'format of the file is not read',
    ),
    (
      'list.mp4',
      playlist.format(folder / 'good.mkv').encode(),
      'not a complete',
    ),
    ('concat.mp4', b'ffconcat version 1.0\nfile good.mkv\n', 'not read'),
    ('still.png', None, 'There is no such file'),
  ]


def test_malicious_files_are_refused(tmp_path):
  for name, content, reason in malicious_files(tmp_path):
    path = tmp_path / name
    if content is not None:
      path.write_bytes(content)
    with pytest.raises(MediaError, match=f'{name}: .*({reason})') as error:
      list(video.frames(path, 24, 16, False))
    assert isinstance(error.value, EmptyMediaError) == (content == b'')
    assert isinstance(error.value, RefusedError) == (
      'not read' in reason or name == 'strip.nut' or 'pixels' in reason
    )
    assert '\n' not in str(error.value)


def test_large_frames_are_refused(tmp_path, monkeypatch):
  path = write_numbered(tmp_path / 'video.mkv', 30)
  monkeypatch.setattr(containers, 'MOST_PIXELS', 255)
  with pytest.raises(RefusedError, match='Expected at most 255 pixels'):
    video.frames(path, 1, 16, False)


def test_only_local_files_are_opened(tmp_path, monkeypatch):
  good = write_numbered(tmp_path / 'good.mkv', 30)
  fifo = tmp_path / 'fifo.mkv'
  os.mkfifo(fifo)
  for path in (
    'http://127.0.0.1:9/video.mp4',
    f'file:{good}',
    f'concat:{good}|{good}',
    tmp_path,
    fifo,
    tmp_path / 'missing.mkv',
  ):
    with pytest.raises(MissingError, match='There is no such file'):
      video.frames(path, 1, 16, False)
  # A local file may have a name like an address.
  monkeypatch.chdir(tmp_path)
  os.rename(good, 'concat:good.mkv')
  assert indices('concat:good.mkv', 1, 16, False) == [12]


def test_lists_are_not_read_as_audio(tmp_path):
  sound = tmp_path / 'sound.ogg'
  soundfile.write(sound, np.ones(8000) / 2, 8000)
  path = tmp_path / 'list.m4a'
  path.write_text(f'ffconcat version 1.0\nfile {sound.name}\n')
  for source in (path, path.read_bytes()):
    with pytest.raises(RefusedError, match='format of the file is not read'):
      audio.read_audio(source)


@pytest.mark.parametrize(
  'options',
  [
    {'fps': 0},
    {'fps': float('nan')},
    {'size': 0},
    {'start': -1},
    {'start': 2, 'end': 1},
    {'end': float('nan')},
  ],
)
def test_impossible_requests(tmp_path, options):
  path = write_numbered(tmp_path / 'video.nut', 3)
  with pytest.raises(ValueError, match=r'fps|end'):
    video.frames(path, **{'fps': 1, 'size': 16, 'crop': False} | options)
