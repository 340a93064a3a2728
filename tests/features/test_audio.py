"""Audio: golden spectrograms, containers, malicious files, FLAC."""

import io

import av
import numpy as np
import pytest
import soundfile

from avl_jax.features import (
  MediaError,
  RefusedError,
  TooShortError,
  audio,
  flac,
)
from tests.helpers import golden, media

CASES = sorted(golden.load('spectrogram')[0]['sub'])


def sine(rate: int, seconds: float = 1.5, frequency: float = 880.0):
  t = np.arange(round(rate * seconds)) / rate
  return (0.5 * np.sin(2 * np.pi * frequency * t)).astype(np.float32)


def peak(waveform: np.ndarray, rate: int = 16_000) -> float:
  """Frequency of the strongest component, Hz."""
  spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
  return float(spectrum.argmax() * rate / len(waveform))


def write_mp4(path, waveform: np.ndarray, rate: int):
  with av.open(str(path), 'w', format='mp4') as container:
    stream = container.add_stream('aac', rate=rate, layout='mono')
    frame = av.AudioFrame.from_ndarray(waveform[None], 'fltp', 'mono')
    frame.sample_rate = rate
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


@pytest.mark.parametrize('sub', CASES)
def test_log_mel_spectrogram_golden(sub):
  description, arrays = golden.load('spectrogram')
  params = description['sub'][sub]['params']
  waveform = golden.waveform(params['waveform'])
  assert golden.crc(waveform) == params['waveform_crc32']
  spectrogram = audio.log_mel_spectrogram(waveform)
  assert spectrogram.dtype == np.float32
  exact = params['waveform']['kind'] == 'zeros'
  np.testing.assert_allclose(
    spectrogram.T,
    arrays[f'{sub}/raw_reflect'],
    rtol=0,
    atol=0 if exact else 5e-3,
  )


def test_log_mel_spectrogram_of_a_chirp_with_offset():
  t = np.arange(48_077) / 16_000
  chirp = 0.3 * np.sin(2 * np.pi * (200 * t + 600 * t**2))
  whistle = 0.1 * np.cos(2 * np.pi * 3100 * t) * (t > 1)
  waveform = np.float32(chirp + whistle + 0.02)
  mel = audio.log_mel_spectrogram(waveform).T
  assert mel.shape == (40, 301)
  assert mel.min() == -80
  np.testing.assert_allclose(mel.max(), 0, atol=1e-4)
  np.testing.assert_allclose(mel.mean(), -55.79341, atol=1e-3)
  cells = {
    (0, 0): -31.7235,
    (0, 1): -42.4201,
    (5, 10): -53.6193,
    (10, 50): -8.8393,
    (20, 100): -49.4307,
    (39, 0): -58.1040,
    (39, 150): -73.6972,
    (30, 250): -54.4167,
    (12, 300): -39.1679,
    (3, 299): -60.2702,
  }
  np.testing.assert_allclose(
    [mel[cell] for cell in cells], list(cells.values()), atol=1e-3
  )


def test_log_mel_spectrogram_ignores_gain_and_offset():
  waveform = golden.normal('test_audio', (3000,)) * np.float32(0.1)
  np.testing.assert_allclose(
    audio.log_mel_spectrogram(0.1 * waveform + np.float32(0.03)),
    audio.log_mel_spectrogram(waveform),
    atol=1e-3,
  )


@pytest.mark.parametrize('samples', [1, 2, 159, 160, 399, 400, 401])
def test_log_mel_spectrogram_of_short_waveforms(samples):
  waveform = golden.normal('test_audio', (samples,))
  mel = audio.log_mel_spectrogram(waveform)
  assert mel.shape == (1 + samples // 160, 40)
  assert mel.max() == 0
  assert (mel >= -80).all()


def test_log_mel_spectrogram_refuses_stereo():
  with pytest.raises(ValueError, match=r'\(9, 2\)\. Expected \[samples\]'):
    audio.log_mel_spectrogram(np.zeros((9, 2)))


@pytest.mark.parametrize('suffix', ['wav', 'ogg', 'flac', 'mp3', 'm4a', 'raw'])
def test_read_audio_from_containers(tmp_path, suffix):
  path = tmp_path / f'tone.{suffix}'
  if suffix == 'm4a':
    write_mp4(path, sine(48_000), 48_000)
  else:
    kind = {'raw': 'wav'}.get(suffix, suffix)
    soundfile.write(path, sine(48_000), 48_000, format=kind)
  waveform = audio.read_audio(path)
  assert waveform.dtype == np.float32
  assert waveform.ndim == 1
  # MP3 and AAC pad to whole packets of about 20 ms.
  packets = 4 * 1152 / 3 if suffix in ('mp3', 'm4a') else 1
  assert abs(len(waveform) - 24_000) <= packets
  assert abs(peak(waveform) - 880) < 1
  middle = waveform[4000:20_000]
  np.testing.assert_allclose(np.sqrt(2 * np.mean(middle**2)), 0.5, rtol=0.03)
  np.testing.assert_array_equal(audio.read_audio(path.read_bytes()), waveform)


def chirp(rate: int, seconds: float) -> np.ndarray:
  """Rises by 200 Hz per second, so that the pitch identifies the time."""
  t = np.arange(round(rate * seconds)) / rate
  return (0.5 * np.sin(2 * np.pi * (300 * t + 100 * t**2))).astype(np.float32)


@pytest.mark.parametrize(
  ('suffix', 'codec'),
  [
    ('wav', ''),
    ('mp3', ''),
    ('mp4', 'aac'),
    ('webm', 'libopus'),
    ('mkv', 'pcm_s16le'),
    ('avi', 'libmp3lame'),
  ],
)
@pytest.mark.parametrize('piece', [(0, 2.5), (3.25, 4.5), (4, np.inf)])
def test_a_piece_is_that_of_the_whole(tmp_path, suffix, codec, piece):
  path, rate = tmp_path / f'chirp.{suffix}', 48_000
  if codec:
    media.write(path, chirp(rate, 6), rate, codec=codec, seconds=6)
  else:
    soundfile.write(path, chirp(rate, 6), rate)
  whole = audio.read_audio(path)
  found = audio.read_audio(path, start=piece[0], end=piece[1])
  first, last = (round(min(seconds * 16_000, len(whole))) for seconds in piece)
  expected = whole[first:last]
  # Containers round times to milliseconds, codecs begin a little early.
  assert abs(len(found) - len(expected)) <= 0.05 * 16_000
  instant = 200 * (np.mean([piece[0], min(piece[1], 6)]) + 1.5)
  middle = len(found) // 2
  heard = peak(found[middle - 1600 : middle + 1600])
  assert abs(heard - instant) < 10 + 200 * 0.05
  if suffix in ('wav', 'mp4') and piece[0]:  # exact times
    size = min(len(found), len(expected))
    np.testing.assert_allclose(
      found[400 : size - 400], expected[400 : size - 400], atol=2e-3
    )


def test_pieces_after_the_end(tmp_path):
  film, sound = tmp_path / 'film.mp4', tmp_path / 'sound.wav'
  media.write(film, chirp(16_000, 2), 16_000, seconds=2)
  soundfile.write(sound, chirp(16_000, 2), 16_000)
  for path in (film, sound):
    with pytest.raises(TooShortError, match=f'{path.name}.*from 5 s on'):
      audio.read_audio(path, start=5, end=6)
    rest = audio.read_audio(path, start=1.5, end=9)
    assert abs(len(rest) - 8_000) < 2_500


def test_the_length_is_limited(tmp_path, monkeypatch):
  film, sound = tmp_path / 'film.mp4', tmp_path / 'sound.wav'
  media.write(film, chirp(16_000, 2), 16_000, seconds=2)
  soundfile.write(sound, chirp(16_000, 2), 16_000)
  monkeypatch.setattr(audio, 'LONGEST', 20_000)
  for path in (film, sound):
    with pytest.raises(RefusedError, match='more than 20,000 samples'):
      audio.read_audio(path)
    assert len(audio.read_audio(path, start=1, end=2)) > 14_000


def test_read_audio_averages_channels_and_resamples(tmp_path):
  path = tmp_path / 'stereo.wav'
  left, right = sine(44_100, frequency=500), sine(44_100, frequency=12_000)
  soundfile.write(path, np.stack([left, right], 1), 44_100, subtype='FLOAT')
  waveform = audio.read_audio(path)
  assert len(waveform) == 24_000
  # Half of the left channel; the right one is above 8 kHz and must not alias.
  np.testing.assert_allclose(
    waveform[800:-800],
    0.5 * sine(16_000, frequency=500)[800:-800],
    atol=1e-3,
  )
  same_rate = audio.read_audio(path, sample_rate=44_100)
  np.testing.assert_allclose(same_rate, (left + right) / 2, atol=1e-6)


def test_read_audio_names_what_is_wrong(tmp_path):
  empty = tmp_path / 'empty.wav'
  empty.touch()
  silent = tmp_path / 'no_samples.wav'
  soundfile.write(silent, np.zeros(0, np.float32), 16_000)
  text = tmp_path / 'notes.txt'
  text.write_text('no audio here\n' * 99)
  broken = tmp_path / 'broken.wav'
  soundfile.write(broken, np.float32([0, np.nan]), 16_000, subtype='FLOAT')
  mute = tmp_path / 'mute.mp4'
  with av.open(str(mute), 'w') as container:
    stream = container.add_stream('mpeg4', rate=5)
    stream.width = stream.height = 32
    stream.pix_fmt = 'yuv420p'
    frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
    container.mux([*stream.encode(frame), *stream.encode(None)])
  for path, reason, word in (
    (tmp_path / 'missing.wav', 'There is no such file', 'missing'),
    (empty, '0 bytes', 'unreadable'),
    (silent, '0 samples', 'too short'),
    (text, 'format of the file is not read', 'refused'),
    (broken, 'NaN', 'unreadable'),
    (mute, 'no audio stream', 'no sound'),
  ):
    with pytest.raises(MediaError, match=f'{path.name}: .*{reason}') as caught:
      audio.read_audio(path)
    assert caught.value.reason == word
  with pytest.raises(MediaError, match='Audio of 0 bytes'):
    audio.read_audio(b'')


def test_flac_is_exact_on_the_16_bit_grid():
  codes = np.r_[-32768, -32767, -1, 0, 1, 32767, np.arange(-9999, 9999, 7)]
  waveform = np.float32(codes / 32768)
  data = flac.encode(waveform)
  decoded = flac.decode(data)
  assert decoded.dtype == np.float32
  np.testing.assert_array_equal(decoded, waveform)
  assert soundfile.info(io.BytesIO(data)).samplerate == 16_000
  np.testing.assert_array_equal(audio.read_audio(data), waveform)


def test_flac_rounds_and_clips():
  waveform = np.float32([1.5, -1.5, 0.4 / 32768, 0.6 / 32768])
  decoded = flac.decode(flac.encode(waveform))
  np.testing.assert_array_equal(
    decoded, np.float32([32767, -32768, 0, 1]) / np.float32(32768)
  )
