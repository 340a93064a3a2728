"""Sound in unusual files: its whole length, at the time of the picture."""

import os
import pathlib

import av
import numpy as np
import pytest
import soundfile

from avl_jax.features import MediaError, audio, flac
from tests.helpers import media


def tones(rate: int, seconds: int) -> np.ndarray:
  """Second k is a tone of 200 + 50 k Hz: it says when it is heard."""
  t = np.arange(rate * seconds) / rate
  hertz = 200 + 50 * np.floor(t)
  return (0.3 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def heard(waveform: np.ndarray) -> list[int | None]:
  """k of each second of `tones`; None where it is silent."""
  found: list[int | None] = []
  for k in range(round(len(waveform) / 16_000 - 0.1)):
    middle = waveform[k * 16_000 + 4_000 : k * 16_000 + 12_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    hertz = spectrum.argmax() * 16_000 / len(middle)
    found.append(round((hertz - 200) / 50) if spectrum.max() > 1 else None)
  return found


@pytest.mark.parametrize(
  ('suffix', 'codec', 'channels'),
  [  # Newer encoders of AAC refuse more than eight channels.
    *(('mp4', 'aac', n) for n in (6, 8)),
    *(('avi', 'aac', n) for n in (6, 8)),
    *(('mov', 'pcm_s16le', n) for n in (6, 8, 16)),
    *(('mkv', 'pcm_f32le', n) for n in (6, 8, 16)),
  ],
)
def test_many_channels_are_averaged(tmp_path, suffix, codec, channels):
  path, rate = tmp_path / f'film.{suffix}', 16_000
  loudness = np.linspace(0, 2, channels)[:, None]  # 1 on the average
  waveform = loudness * tones(rate, 3)
  media.write(path, waveform, rate, codec=codec, seconds=3)
  found = audio.read_audio(path)
  assert heard(found) == [0, 1, 2]
  if codec != 'aac':
    np.testing.assert_allclose(found, tones(rate, 3), atol=1e-4)


@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'mov', 'ts', 'webm'])
def test_what_the_sound_lacks_is_silence(tmp_path, suffix):
  path, rate = tmp_path / f'late.{suffix}', 48_000
  codec = 'libopus' if suffix == 'webm' else 'aac'
  waveform = tones(rate, 8)
  media.write(
    path, waveform, rate, codec=codec, seconds=13, delay=2, gap=(4, 3)
  )
  expected = [None, None, 0, 1, 2, 3, None, None, None, 4, 5, 6, 7]
  found = audio.read_audio(path)
  assert heard(found) == expected
  assert abs(len(found) / 16_000 - 13) < 0.1
  for start, end in ((0, 3), (1, 4), (3, 8), (7, 11), (6, 8)):
    piece = audio.read_audio(path, start=start, end=end)
    assert heard(piece) == expected[start:end]
    assert abs(len(piece) / 16_000 - (end - start)) < 0.05


def test_small_delays_change_nothing(tmp_path):
  """Codecs begin some milliseconds before or after the picture."""
  for name, delay in (('plain', 0), ('delayed', 0.05)):
    path = tmp_path / f'{name}.mkv'
    media.write(
      path, tones(16_000, 2), codec='pcm_s16le', seconds=2, delay=delay
    )
  plain = audio.read_audio(tmp_path / 'plain.mkv')
  delayed = audio.read_audio(tmp_path / 'delayed.mkv')
  np.testing.assert_array_equal(plain, delayed)


def mp3(folder: pathlib.Path, waveform: np.ndarray, rate: int, kbit: int):
  """An MP3 without any header of the file."""
  path = folder / f'{rate}_{kbit}.mp3'
  plain = {'write_xing': '0', 'id3v2_version': '0'}
  with av.open(str(path), 'w', options=plain) as container:
    sound = container.add_stream('libmp3lame', rate=rate, layout='mono')
    sound.bit_rate = kbit * 1000
    media.write_sound(container, sound, waveform)
  return path.read_bytes()


def adts(folder: pathlib.Path, waveform: np.ndarray, rate: int) -> bytes:
  path = folder / f'{rate}.aac'
  with av.open(str(path), 'w', format='adts') as container:
    layout = 'mono' if waveform.ndim == 1 else 'stereo'
    sound = container.add_stream('aac', rate=rate, layout=layout)
    media.write_sound(container, sound, waveform)
  return path.read_bytes()


def sine(rate: int, seconds: int) -> np.ndarray:
  t = np.arange(rate * seconds) / rate
  return (0.3 * np.sin(2 * np.pi * 450 * t)).astype(np.float32)  # 5 of `heard`


def test_mp3_of_variable_rate_without_a_header(tmp_path):
  waveform = tones(16_000, 12)
  first = mp3(tmp_path, waveform[:32_000], 16_000, 128)
  content = first + mp3(tmp_path, waveform[32_000:], 16_000, 16)
  assert heard(audio.read_audio(content)) == list(range(12))
  assert heard(audio.read_audio(content, start=8, end=11)) == [8, 9, 10]


def recording(path: pathlib.Path, seconds: int) -> bytes:
  """Content of a file of tones: MP3, Vorbis (.ogg), Opus (.opus) or FLAC."""
  is_opus = path.suffix == '.opus'
  soundfile.write(
    path,
    tones(16_000, seconds),
    16_000,
    subtype='OPUS' if is_opus else None,
    format='OGG' if is_opus else None,
  )
  return path.read_bytes()


@pytest.mark.parametrize('kind', ['mp3', 'ogg', 'opus', 'flac'])
def test_a_file_that_is_cut_off_has_no_more_than_it_has(tmp_path, kind):
  path = tmp_path / f'sound.{kind}'
  content = recording(path, 20)
  for share in (0.6, 0.97):
    path.write_bytes(content[: round(len(content) * share)])
    found = audio.read_audio(path)
    assert np.abs(found).max() < 0.5
    assert len(found) < 16_000 * 20
    whole = len(found) // 16_000
    assert whole >= 8
    assert heard(found)[:whole] == list(range(whole))
    np.testing.assert_array_equal(audio.read_audio(path), found)


@pytest.mark.parametrize(
  'suffix', ['.flac', '.aac', '.mp4', '.mkv', '.avi', '.flv', '.ts']
)
def test_short_sound_that_is_cut_off_is_used(tmp_path, suffix):
  """The packet in which the file ends is more than 1 % of so few."""
  path = tmp_path / f'sound{suffix}'
  rate = 44_100 if suffix == '.flv' else 16_000
  with av.open(str(path), 'w', options={'movflags': 'faststart'}) as container:
    codec = 'flac' if suffix == '.flac' else 'aac'
    sound = container.add_stream(codec, rate=rate, layout='mono')
    media.write_sound(container, sound, tones(rate, 3))
  content = path.read_bytes()
  for share in (0.75, 0.9):
    path.write_bytes(content[: round(share * len(content))])
    found = audio.read_audio(path)
    assert 1.5 < len(found) / 16_000 < 2.95
    assert heard(found)[:2] == [0, 1][: len(found) // 16_000]


@pytest.mark.parametrize(
  'kinds',
  [
    *(['mp3'] * 3, ['ogg'] * 3, ['opus'] * 3, ['flac'] * 3),
    *(['ogg', 'opus', 'ogg'], ['opus', 'ogg', 'opus']),
  ],
)
def test_several_recordings_in_one_file(tmp_path, kinds):
  content = b''
  for kind, seconds in zip(kinds, (3, 5, 2), strict=True):
    content += recording(tmp_path / f'sound.{kind}', seconds)
  path = tmp_path / 'sounds'
  path.write_bytes(content)
  found = audio.read_audio(path)
  assert abs(len(found) / 16_000 - 10) < 0.3
  assert heard(found)[:3] == [0, 1, 2]
  assert heard(found[3 * 16_000 + 1_500 :])[:5] == [0, 1, 2, 3, 4]
  np.testing.assert_array_equal(audio.read_audio(content), found)
  if 'mp3' not in kinds:  # exact to the sample
    assert len(found) == 160_000
    assert heard(found) == [0, 1, 2, 0, 1, 2, 3, 4, 0, 1]
    piece = audio.read_audio(path, start=2, end=9)
    assert heard(piece) == [2, 0, 1, 2, 3, 4, 0]


def test_recordings_of_other_rates_in_one_file(tmp_path):
  content = b''
  for rate in (16_000, 44_100):
    path = tmp_path / 'sound.flac'
    soundfile.write(path, tones(rate, 3), rate)
    content += path.read_bytes()
  assert heard(audio.read_audio(content)) == [0, 1, 2, 0, 1, 2]
  assert heard(audio.read_audio(content, start=2, end=5)) == [2, 0, 1]


@pytest.mark.parametrize(
  'rates', [(48_000, 24_000), (24_000, 48_000), (16_000, 44_100)]
)
@pytest.mark.parametrize('make', [adts, lambda *a: mp3(*a, 64)])
def test_the_rate_may_change(tmp_path, rates, make):
  content = b''.join(make(tmp_path, sine(rate, 3), rate) for rate in rates)
  found = audio.read_audio(content)
  assert abs(len(found) / 16_000 - 6) < 0.3
  assert heard(found) == 6 * [5]


def test_the_number_of_channels_may_change(tmp_path):
  mono, stereo = sine(48_000, 3), np.stack(2 * [sine(48_000, 3)])
  content = adts(tmp_path, mono, 48_000) + adts(tmp_path, stereo, 48_000)
  assert heard(audio.read_audio(content)) == 6 * [5]


def test_lengths_that_were_never_written(tmp_path):
  path = tmp_path / 'sound.wav'
  soundfile.write(path, tones(16_000, 3), 16_000)
  content = bytearray(path.read_bytes())
  place = content.index(b'data') + 4
  for size in (bytes(4), b'\xff\xff\xff\xff'):
    content[place : place + 4] = size
    assert heard(audio.read_audio(bytes(content))) == [0, 1, 2]
  content = bytearray(flac.encode(tones(16_000, 3)))
  content[21] &= 0xF0  # 36 bits of the number of samples
  content[22:26] = bytes(4)
  found = audio.read_audio(bytes(content))
  expected = flac.decode(flac.encode(tones(16_000, 3)))
  np.testing.assert_array_equal(found, expected)


def test_what_comes_out_is_limited(tmp_path, monkeypatch):
  path = tmp_path / 'slow.wav'
  soundfile.write(path, np.zeros(144_000), 1)
  with pytest.raises(MediaError, match=r'slow.wav: .* at 16,000 Hz'):
    audio.read_audio(path)
  monkeypatch.setattr(audio, 'LONGEST', 100_000)
  film = tmp_path / 'gap.mkv'
  media.write(film, tones(16_000, 2), seconds=9, delay=8)
  with pytest.raises(MediaError, match='more than 100,000 samples'):
    audio.read_audio(film)


def test_folders_whose_names_are_not_utf_8(tmp_path):
  folder = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9'))
  folder.mkdir()
  for kind in ('wav', 'mp3', 'm4a'):
    path = folder / f'sound.{kind}'
    if kind == 'm4a':
      media.write(path.with_suffix('.mp4'), tones(16_000, 2), seconds=2)
      path.with_suffix('.mp4').rename(path)
    else:
      path.write_bytes(b'')
      soundfile.write(os.fsencode(path), tones(16_000, 2), 16_000)
    assert heard(audio.read_audio(path)) == [0, 1]


def damaged(path: pathlib.Path, numbers: list[int]) -> None:
  """Overwrites packets of the sound."""
  content = bytearray(path.read_bytes())
  with av.open(str(path)) as container:
    packets = [bytes(packet) for packet in container.demux(audio=0)]
  for number in numbers:
    size = len(packets[number])
    place = content.index(packets[number])
    content[place : place + size] = size * b'\xff'
  path.write_bytes(content)


@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
def test_a_few_damaged_packets_are_silent(tmp_path, suffix, capsys):
  path = tmp_path / f'film.{suffix}'
  noise = np.random.default_rng(0).normal(0, 0.01, 20 * 16_000)
  media.write(path, tones(16_000, 20) + noise, seconds=20)
  clean = audio.read_audio(path)
  whole = path.read_bytes()
  damaged(path, [100, 200])
  found = audio.read_audio(path)
  assert abs(len(found) - len(clean)) <= 1
  assert heard(found) == heard(clean) == list(range(20))
  lines = capsys.readouterr().err
  assert f'{path}: 2 of 31' in lines
  assert 'packets of the sound are damaged' in lines
  with pytest.raises(MediaError, match=r'2 of 31.*at most 0%'):
    audio.read_audio(path, tolerance=0)
  path.write_bytes(whole)
  damaged(path, [100, 150, 200, 250])
  with pytest.raises(MediaError, match=r'4 of 31.*at most 1%'):
    audio.read_audio(path)
  assert heard(audio.read_audio(path, tolerance=0.05)) == list(range(20))
  path.write_bytes(whole)
  damaged(path, list(range(100, 120)))
  with pytest.raises(MediaError, match=r'They last 1\.0 s in a row'):
    audio.read_audio(path, tolerance=0.5)
