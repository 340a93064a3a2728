"""Files decoded in a child process: the same bits and errors as in this one."""

import itertools
import math

import av
import numpy as np
import pytest

from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.extraction.decoding.limits import Limits
from avl_jax.extraction.video_features import Extraction
from avl_jax.features import MediaError, RefusedError, audio, video
from tests.helpers import annotated, corpus, decoders, media
from tests.helpers.lossless import numbered, pattern, write
from tests.helpers.outcomes import outcome, stack


@pytest.fixture(scope='module')
def decoder():
  with Decoder() as decoder:
    yield decoder


def check(decoder, path, start=0.0, end=None, *, fails=False):
  """Compares the child with this process, for sound and for two streams.

  `fails`: whether one of them is an error; None: that does not matter.
  """
  last = math.inf if end is None else end
  waveform = outcome(lambda: audio.read_audio(path, start=start, end=last))
  found = [waveform]
  pieces = [(1, 24, False, start, end), (24, 16, True, start, end)]
  for piece in pieces:
    found.append(outcome(lambda p=piece: video.frames(path, *p)))
  for i, expected in enumerate(found):

    def ask(file, i=i):
      if not i:
        return file.waveform(start, last)
      return stack(file.frames(*pieces[i - 1]))

    result = outcome(decoder.run, path, ask)
    if isinstance(expected, Exception):
      assert type(result) is type(expected)
      assert str(result) == str(expected)
    else:
      assert result.dtype == expected.dtype
      np.testing.assert_array_equal(result, expected)
  if fails is not None:
    assert any(isinstance(x, Exception) for x in found) == fails
  return found


@pytest.mark.parametrize('suffix', ['mp4', 'webm', 'avi', 'ts'])
def test_the_same_bits(decoder, tmp_path, suffix):
  path = tmp_path / f'vidéo.{suffix}'
  annotated.write_videos(tmp_path, path.name)
  waveform, images, small = check(decoder, path)
  assert len(waveform) >= 16_000 * annotated.SECONDS
  assert len(images) == annotated.SECONDS
  assert np.ptp(small) > 50
  waveform, images, small = check(decoder, path, 2.5, 6.0)
  assert (len(waveform), len(images), len(small)) == (56_000, 4, 84)


@pytest.mark.slow
def test_every_container_and_codec(decoder, tmp_path):
  """Whole, damaged and in pieces."""
  paths = corpus.write(tmp_path)
  fine = 0
  for i, path in enumerate(paths):
    found = check(decoder, path, fails=None)
    fine += sum(isinstance(x, np.ndarray) for x in found)
    check(decoder, path, 0.4, 0.9, fails=None)
    path.write_bytes(corpus.damage(path.read_bytes(), seed=i))
    check(decoder, path, fails=None)
  assert fine > 130


class Pictures:
  """Makes features of the brightness of pictures, and of 24 a second."""

  def __call__(self, path, start, end, frames):
    del path
    rows = {}
    for name, fps in (('visual_2d', 1), ('visual_3d', 24)):
      shown = frames(fps, 24, True, start, end)
      rows[name] = np.array([[x.mean(), x.std()] for x in shown], np.float16)
    return rows


def test_the_same_features(decoder, tmp_path):
  annotated.write_videos(tmp_path, 'film.mp4')
  results = []
  for name, way in (('child', decoder), ('here', decoders.InProcess())):
    extract = Extraction(
      Pictures(), {'visual_2d': 2, 'visual_3d': 2}, tmp_path / name, way
    )
    extract(tmp_path / 'film.mp4', 1.0, 7.0)
    (cached,) = (tmp_path / name).rglob('*.npz')
    with np.load(cached) as arrays:
      results.append({key: array.tobytes() for key, array in arrays.items()})
      assert [len(array) for array in arrays.values()] == [601, 6, 144]
  assert results[0] == results[1]


def test_other_files(decoder, tmp_path):
  """No sound, no picture, one frame, many channels, portrait, a few bytes."""
  tone = annotated.sound('tone')
  media.write(tmp_path / 'mute.mp4', None, seconds=2)
  media.write(
    tmp_path / 'seven.mkv',
    np.resize(tone, (8, 16_000)),
    codec='flac',
    seconds=1,
  )
  write(tmp_path / 'one.nut', [pattern(48, 64)], 1)
  write(tmp_path / 'portrait.mkv', [*numbered(50, (64, 48))], 25)
  with av.open(str(tmp_path / 'sound.mp3'), 'w') as container:
    stream = container.add_stream('libmp3lame', rate=16_000, layout='mono')
    media.write_sound(container, stream, tone[0])
  for name in ('mute.mp4', 'sound.mp3', 'one.nut', 'portrait.mkv'):
    check(decoder, tmp_path / name, fails=True)
  check(decoder, tmp_path / 'seven.mkv')


def test_bad_files(decoder, tmp_path):
  annotated.write_bad_videos(tmp_path / 'a')
  annotated.write_videos(tmp_path / 'a', 'secret.mkv')
  for name, text in {
    'text.mp4': 'This is no video.',
    'list.m3u8': '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.mkv\n',
    'concat.mp4': "ffconcat version 1.0\nfile 'secret.mkv'\n",
    'sdp.mp4': 'v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n',
    'empty.mp4': '',
  }.items():
    (tmp_path / 'a' / name).write_text(text)
    found = check(decoder, tmp_path / 'a' / name, fails=True)
    assert all(isinstance(x, MediaError) for x in found)
  for name in ('garbled.mp4', 'cut.mp4', 'missing.mp4'):
    check(decoder, tmp_path / 'a' / name, fails=True)


def test_damage_is_told(decoder, tmp_path, capsys):
  """What the child says about a file that is good enough is shown."""
  path = tmp_path / 'damaged.mov'
  write(path, [*numbered(240)], 8, 'png', 'rgb24')
  with av.open(str(path)) as container:
    places = [packet.pos for packet in container.demux() if packet.size]
  data = bytearray(path.read_bytes())
  data[places[100] : places[100] + 8] = b'no a png'
  path.write_bytes(data)
  check(decoder, path, fails=True)  # It has no sound.
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) % 2 == 0
  assert {line[20:] for line in lines} == {lines[0][20:]}


def matroska(path, streams):
  """Writes a file of many streams of sound, with one packet of 20 ms."""

  def element(name, *parts):
    body = b''.join(parts)
    return bytes.fromhex(name) + (len(body) | 1 << 56).to_bytes(8) + body

  sound = element('e1', element('9f', b'\1'), element('6264', b'\x10'))
  path.write_bytes(
    element('1a45dfa3', element('4282', b'matroska'))
    + element(
      '18538067',
      element('1549a966', element('2ad7b1', (10**6).to_bytes(4))),
      element(
        '1654ae6b',
        *(
          element(
            'ae',
            element('d7', i.to_bytes(2)),
            element('73c5', i.to_bytes(2)),
            element('83', b'\2'),
            element('86', b'A_PCM/INT/LIT'),
            sound,
          )
          for i in range(1, streams + 1)
        ),
      ),
      element(
        '1f43b675',
        element('e7', b'\0'),
        element('a3', b'\x81\0\0\x80' + bytes(320)),
      ),
    )
  )
  return path


def test_bombs(decoder, tmp_path):
  """Times of 500 hours, many streams."""

  def ask(path, message):
    for read in (
      lambda file: file.waveform(),
      lambda file: [*file.frames(24, 16, True)],
    ):
      with pytest.raises(RefusedError, match=message):
        decoder.run(path, read)

  hour = 25 * 3600
  path = write(tmp_path / 'late.mkv', [*numbered(2)], times=(0, 500 * hour))
  ask(path, r'500\.0 hours. Expected at most 12')
  assert len(decoder.run(matroska(tmp_path / '1', 1), lambda f: f.waveform()))
  ask(matroska(tmp_path / '101.mkv', 101), '101 streams')
  ask(matroska(tmp_path / 'many.mkv', 10_000), '1,000 streams')
  # A file that begins late is not long.
  times = itertools.count(500 * hour)
  path = write(tmp_path / 'clock.mkv', [*numbered(50)], times=times)
  assert len(decoder.run(path, lambda f: [*f.frames(1, 16, True)])) == 2
  # Nor is one with a jump of hours, which is no pause.
  path = write(tmp_path / 'far.mkv', [*numbered(2)], times=(0, 11 * hour))
  assert len(decoder.run(path, lambda f: [*f.frames(1, 16, True)])) < 2


def test_large_pictures(tmp_path):
  """Above 8K they are refused for their size, below by the memory they take."""

  def large(name, width, height):
    path = tmp_path / name
    with av.open(str(path), 'w') as container:
      stream = container.add_stream('png', rate=1)
      stream.width, stream.height, stream.pix_fmt = width, height, 'gray'
      frame = av.VideoFrame(width, height, 'gray')
      frame.planes[0].update(bytes(frame.planes[0].buffer_size))
      container.mux([*stream.encode(frame), *stream.encode(None)])
    return path

  def count(file):
    return sum(1 for _ in file.frames(1, 224, False))

  path = large('large.mov', 7680, 4320)
  with Decoder() as decoder:
    assert decoder.run(large('small.mov', 640, 360), count) == 1
    with pytest.raises(RefusedError, match=r'Expected at most 35651584 pixels'):
      decoder.run(large('huge.mov', 8192, 4400), count)
    assert decoder.run(path, count) == 1
  with Decoder(Limits(memory=2**26)) as decoder:
    with pytest.raises(RefusedError, match=r'more than 0\.1 GiB of memory'):
      decoder.run(path, count)
    assert decoder.run(tmp_path / 'small.mov', count) == 1
