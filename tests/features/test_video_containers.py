"""Pictures of unusual files: other streams, late pictures, poor indices."""

import os
import pathlib
from fractions import Fraction

import av
import numpy as np
import pytest

from avl_jax.features import MediaError, audio, video
from tests.helpers import media

SOUND = np.sin(np.arange(16_000 * 12) / 5).astype(np.float32) / 4
CODECS = {'mkv': 'mpeg4', 'ts': 'libx264', 'mp4': 'libx264', 'mov': 'libx264'}


def seen(path, *args) -> list[int]:
  """Second of each frame, which its brightness tells."""
  frames = video.frames(path, 1, 16, False, *args)
  return [round(float(frame.mean()) / 20) for frame in frames]


def remux(source: pathlib.Path, target: pathlib.Path, delay: float = 0):
  """Copies a file; the picture begins later."""
  with av.open(str(source)) as old, av.open(str(target), 'w') as new:
    streams = {s: new.add_stream_from_template(s) for s in old.streams}
    for packet in old.demux():
      if packet.dts is None:
        continue
      stream = packet.stream
      if stream.type == 'video':
        packet.pts += round(delay / packet.time_base)
        packet.dts += round(delay / packet.time_base)
      packet.stream = streams[stream]
      new.mux(packet)


@pytest.mark.parametrize('sound_first', [False, True])
@pytest.mark.parametrize('suffix', CODECS)
def test_every_frame_comes(tmp_path, suffix, sound_first):
  """The decoder holds some frames until the end, on every number of cores."""
  path = tmp_path / f'film.{suffix}'
  media.write(
    path, SOUND, seconds=12, sound_first=sound_first, picture=CODECS[suffix]
  )
  # In a TS, the sound begins half a picture before the picture.
  count = len(list(video.frames(path, 8, 16, False)))
  assert count == 96 + (suffix == 'ts')
  assert seen(path) == list(range(12))
  for start, end in ((3, 8), (6, 7), (10, None)):
    assert seen(path, start, end) == list(range(start, end or 12))


def test_streams_of_other_kinds(tmp_path):
  for suffix in ('mkv', 'mp4', 'mov'):
    source, path = tmp_path / f'film.{suffix}', tmp_path / f'more.{suffix}'
    media.write(source, SOUND, seconds=12, sound_first=True)
    with av.open(str(source)) as old, av.open(str(path), 'w') as new:
      if suffix == 'mkv':
        for name, kind in (('a.json', 'application/json'), ('b.ttf', 'font/t')):
          new.add_attachment(name, kind, b'{"id": "x"}')
      else:
        new.set_chapters(
          [
            {
              'id': i,
              'start': 5 * i,
              'end': 40 * i + 5,
              'time_base': Fraction(1),
              'metadata': {'title': 'one'},
            }
            for i in range(2)
          ]
        )
      streams = {s: new.add_stream_from_template(s) for s in old.streams}
      for packet in old.demux():
        if packet.dts is not None:
          packet.stream = streams[packet.stream]
          new.mux(packet)
    with av.open(str(path)) as container:
      assert len(container.streams) > 2
    assert seen(path) == list(range(12))
    assert seen(path, 5, 8) == [5, 6, 7]


def test_a_second_sound_of_an_unknown_codec(tmp_path):
  path = tmp_path / 'film.mp4'
  media.write(path, SOUND, 32_000, codec='ac3', seconds=12, sound_first=True)
  content = path.read_bytes()
  path.write_bytes(content.replace(b'ac-3', b'apac'))
  assert seen(path) == list(range(12))


def test_a_picture_that_begins_late(tmp_path):
  for suffix in ('mp4', 'mkv', 'ts'):
    path = tmp_path / f'film.{suffix}'
    media.write(tmp_path / 'x.mp4', SOUND, seconds=8, picture='libx264')
    remux(tmp_path / 'x.mp4', path, delay=4)
    expected = [0, 0, 0, 0, *range(8)]
    assert seen(path) == expected
    for start, end in ((2, 8), (3, 5), (6, 9), (11, 12)):
      assert seen(path, start, end) == expected[start:end]


def test_a_ts_under_another_name(tmp_path):
  """It has no index and may have one group of pictures."""
  path = tmp_path / 'film.ts'
  media.write(path, SOUND, seconds=40, picture='libx264')
  path = path.rename(tmp_path / 'film.mp4')
  # The brightness goes round after 12 seconds.
  expected = [20 * k % 256 // 20 for k in range(40)]
  for start, end in ((3, 8), (20, 23), (38, 40)):
    found = seen(path, start, end)
    assert len(found) == end - start
    assert np.abs(np.subtract(found, expected[start:end])).max() <= 1


def test_an_index_that_is_missing_or_wrong(tmp_path):
  path = tmp_path / 'film.mkv'
  media.write(path, SOUND, seconds=12)
  content = path.read_bytes()
  cues = content.rindex(b'\x1c\x53\xbb\x6b')
  path.write_bytes(content[:cues])
  assert seen(path, 9, 12) == [9, 10, 11]


@pytest.mark.parametrize('text', [b'1/0', b'1e99999999', b'-9', b'x'])
def test_durations_that_are_no_numbers(tmp_path, text):
  """Matroska has them as texts."""
  path = tmp_path / 'film.mkv'
  media.write(path, SOUND, seconds=12)
  content = path.read_bytes()
  written = b'00:00:12.000000000'
  assert written in content
  path.write_bytes(content.replace(written, b'00:00:' + text.ljust(12, b'\0')))
  assert seen(path) == list(range(12))


def test_folders_whose_names_are_not_utf_8(tmp_path):
  folder = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9'))
  folder.mkdir()
  media.write(tmp_path / 'film.mp4', None, seconds=4)
  path = (tmp_path / 'film.mp4').rename(folder / 'film.mp4')
  assert seen(path) == [0, 1, 2, 3]
  assert seen(path, 2, 4) == [2, 3]


def test_a_few_damaged_pictures_are_tolerated(tmp_path, capsys):
  path = tmp_path / 'film.mov'
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('png', rate=8)
    stream.width = stream.height = 16
    stream.pix_fmt = 'rgb24'
    for k in range(240):
      picture = np.full((16, 16, 3), 8 * (k // 8), np.uint8)
      container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
    container.mux(stream.encode(None))
  content = path.read_bytes()
  with av.open(str(path)) as container:
    places = [packet.pos for packet in container.demux() if packet.size]

  def damage(numbers):
    damaged = bytearray(content)
    for number in numbers:
      damaged[places[number] : places[number] + 8] = b'no a png'
    path.write_bytes(damaged)
    frames = video.frames(path, 1, 16, False)
    return [round(float(frame.mean()) / 8) for frame in frames]

  assert damage([100, 180]) == list(range(30))
  assert (
    '2 of 240 packets of the picture are damaged' in capsys.readouterr().err
  )
  with pytest.raises(MediaError, match=r'film.mov: 3 of 240 .*at most 1%'):
    damage([10, 100, 200])


def test_the_clock_of_joined_files_goes_on(tmp_path):
  """Each begins at zero again; without an index, seeking would mislead."""
  path, picture = tmp_path / 'film', {'.ts': 'libx264', '.mpg': 'mpeg1video'}
  tones = np.sin(np.arange(16_000 * 5) / 5).astype(np.float32) / 4
  for suffix, codec in picture.items():
    content = b''
    for seconds in (5, 12, 5):
      part = path.with_suffix(suffix)
      with av.open(str(part), 'w') as container:
        stream = container.add_stream(codec, rate=25, options={'g': '25'})
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        sound = container.add_stream('mp2', rate=16_000, layout='mono')
        for k in range(25 * seconds):
          values = np.full((48, 64, 3), 20 * (k // 25), np.uint8)
          container.mux(stream.encode(av.VideoFrame.from_ndarray(values)))
        container.mux(stream.encode(None))
        media.write_sound(container, sound, np.resize(tones, 16_000 * seconds))
      content += part.read_bytes()
    part.write_bytes(content)
    expected = [*range(5), *range(12), *range(5)]
    assert seen(part) == expected
    assert abs(len(audio.read_audio(part)) / 16_000 - 22) < 0.3
    for start, end in ((3, 7), (7, 9), (15, 20)):
      assert seen(part, start, end) == expected[start:end]
      piece = audio.read_audio(part, start=start, end=end)
      assert abs(len(piece) / 16_000 - (end - start)) < 0.05


def test_a_wmv_whose_sound_begins_late(tmp_path):
  """Each of its streams claims the duration of the file."""
  path = tmp_path / 'film.wmv'
  media.write(
    tmp_path / 'x.avi', SOUND[: 16_000 * 8], 16_000, codec='mp2', seconds=12
  )
  with av.open(str(tmp_path / 'x.avi')) as old, av.open(str(path), 'w') as new:
    streams = {s: new.add_stream_from_template(s) for s in old.streams}
    for packet in old.demux():
      if packet.dts is None:
        continue
      if packet.stream.type == 'audio':
        packet.pts += round(4 / packet.time_base)
        packet.dts = packet.pts
      packet.stream = streams[packet.stream]
      new.mux(packet)
  assert seen(path) == list(range(12))
  assert seen(path, 9, 12) == [9, 10, 11]
  found = audio.read_audio(path)
  assert abs(len(found) / 16_000 - 12) < 0.2
  assert np.abs(found[:60_000]).max() < 0.01
  assert found[70_000:180_000].std() > 0.1


def test_one_damaged_time_is_no_pause_of_hours(tmp_path):
  """In FLV, each packet has a byte that counts 16,777 s."""
  path = tmp_path / 'film.flv'
  sound = np.sin(np.arange(44_100 * 8) / 9) / 4
  media.write(path, sound, 44_100, codec='libmp3lame', seconds=8, picture='flv')
  content = path.read_bytes()
  clean, places, place = audio.read_audio(path), {8: [], 9: []}, 13
  while place < len(content):
    kind, size = content[place], int.from_bytes(content[place + 1 : place + 4])
    places.setdefault(kind, []).append(place)
    place += 11 + size + 4

  def damage(kind, number):
    damaged = bytearray(content)
    damaged[places[kind][number] + 7] = 2
    path.write_bytes(damaged)

  damage(8, 100)
  found = audio.read_audio(path)
  assert abs(len(found) - len(clean)) < 1_000
  assert found.std() > 0.1
  damage(9, 40)
  assert seen(path) == list(range(8))
  damage(9, 0)
  with pytest.raises(MediaError, match=r'time 33554\.\d s\. Expected less'):
    seen(path)
