"""Audio: reading any container, log-mel spectrograms, FLAC for records."""

import functools
import io
import math
import os
from collections.abc import Iterable, Iterator

import librosa
import numpy as np
import soundfile
import soxr

from avl_jax.features import (
  HOP_LENGTH,
  MEL_BINS,
  SAMPLE_RATE,
  WINDOW_LENGTH,
  BeyondEndError,
  EmptyMediaError,
  MediaError,
  NoAudioError,
  ffmpeg,
)

LONGEST = 2**29  # samples that are read: three hours at 48 kHz
PREROLL = 1.0  # seconds decoded before a piece


def read_audio(
  source: str | os.PathLike | bytes,
  sample_rate: int = SAMPLE_RATE,
  *,
  start: float = 0.0,
  end: float = math.inf,
) -> np.ndarray:
  """Reads the (first) audio stream of a sound or video file as mono.

  Channels are averaged, then resampled with soxr's high quality setting. Of a
  piece no more than the piece is held in memory.

  Args:
    source: path of a file in any container that libsndfile reads, or FFmpeg
      and `containers` allows, or its bytes.
    sample_rate: of the result, Hz.
    start: seconds of the file's own time (of a video: of its pictures) at
      which the piece begins; 0: with the first sample.
    end: seconds at which it ends, or the recording before.

  Returns:
    float32 [samples]; full scale is 1, which lossy codecs may exceed.

  Raises:
    MediaError: the file is missing, empty or unreadable, has no sample, more
      than `LONGEST` of them or some that are not finite; or (NoAudioError) no
      audio stream; or (BeyondEndError) it ends before `start`.
  """
  if isinstance(source, bytes):
    name, size = f'audio of {len(source)} bytes', len(source)
  else:
    name = os.fspath(source)
    source = ffmpeg.check_file(source)
    size = os.path.getsize(source)
  if not size:
    raise EmptyMediaError(f'{name}: the file has 0 bytes')
  try:
    waveform, rate = _decode_soundfile(source, name, start, end)
  # TypeError: libsndfile wants the format of a file named *.raw.
  except (soundfile.LibsndfileError, TypeError):
    waveform, rate = _decode_av(source, name, start, end)
  if waveform.size and rate != sample_rate:
    waveform = soxr.resample(waveform, rate, sample_rate, quality='HQ')
  if not waveform.size and start > 0:
    raise BeyondEndError(f'{name}: there is no audio from {start:g} s on')
  if not waveform.size:
    raise EmptyMediaError(f'{name}: the audio stream has 0 samples')
  if not np.isfinite(waveform).all():
    raise MediaError(f'{name}: the audio has infinite or NaN samples')
  return waveform


def log_mel_spectrogram(waveform: np.ndarray) -> np.ndarray:
  """The 40-band log-mel spectrogram that AVLnet's audio encoder takes.

  Mean removal, pre-emphasis y[t] - 0.97 y[t-1], 25 ms symmetric Hamming
  windows every 10 ms (centred, reflected at the ends), power spectrum, 40
  Slaney bands from 20 to 8000 Hz, decibel.

  Args:
    waveform: [samples] at 16 kHz; empty counts as 200 zeros.

  Returns:
    float32 [1 + samples // 160, 40], dB below the waveform's loudest cell,
    -80 to 0. Mind that 0 is the loudest value, not silence, and that digital
    silence is 0 throughout because it has no louder cell to compare with.

  Raises:
    ValueError: the waveform is not one-dimensional.
    librosa.ParameterError: it has infinite or NaN samples.
  """
  waveform = np.asarray(waveform, np.float32)
  if waveform.ndim != 1:
    raise ValueError(f'waveform: expected [samples], got {waveform.shape}')
  if not waveform.size:
    waveform = np.zeros(200, np.float32)
  waveform = waveform - waveform.mean()
  waveform[1:] -= np.float32(0.97) * waveform[:-1]
  # librosa would warn of a waveform shorter than a window, and pad it alike.
  padded = np.pad(waveform, WINDOW_LENGTH // 2, mode='reflect')
  # An array, because librosa takes the name 'hamming' for the periodic window.
  spectrum = librosa.stft(
    padded,
    n_fft=WINDOW_LENGTH,
    hop_length=HOP_LENGTH,
    window=np.hamming(WINDOW_LENGTH),
    center=False,
  )
  # Not `@`: where cores are busy, BLAS waits 20 ms for its threads.
  mel = np.einsum('mf,ft->tm', _mel_filters(), np.abs(spectrum) ** 2)
  return librosa.power_to_db(mel, ref=np.max)


def encode_flac(waveform: np.ndarray, sample_rate: int = SAMPLE_RATE) -> bytes:
  """Compresses float [samples] as 16-bit FLAC, clipped to full scale."""
  pcm = np.clip(np.rint(np.asarray(waveform) * 32768.0), -32768, 32767)
  buffer = io.BytesIO()
  soundfile.write(buffer, pcm.astype(np.int16), sample_rate, format='FLAC')
  return buffer.getvalue()


def decode_flac(data: bytes) -> np.ndarray:
  """The float32 [samples] that `encode_flac` compressed, on the 16-bit grid."""
  return soundfile.read(io.BytesIO(data), dtype='float32')[0]


@functools.cache
def _mel_filters() -> np.ndarray:
  """Float32 [40, 201]."""
  return librosa.filters.mel(
    sr=SAMPLE_RATE, n_fft=WINDOW_LENGTH, n_mels=MEL_BINS, fmin=20.0, fmax=8000.0
  )


def _mono(blocks: Iterable[np.ndarray], name: str) -> np.ndarray:
  """Joins blocks, each [samples], which may be none.

  Raises:
    MediaError: they are longer than `LONGEST`.
  """
  joined, length = [np.zeros(0, np.float32)], 0
  for block in blocks:
    joined.append(block)
    length += len(block)
    if length > LONGEST:
      raise MediaError(f'{name}: more than {LONGEST:,} samples are not read')
  return np.concatenate(joined)


def _decode_soundfile(
  source: str | bytes, name: str, start: float, end: float
) -> tuple[np.ndarray, int]:
  """Mono samples from `start` to `end` s and their rate, by libsndfile."""
  file = io.BytesIO(source) if isinstance(source, bytes) else source
  with soundfile.SoundFile(file) as sound:
    first, last = (
      round(min(seconds * sound.samplerate, sound.frames))
      for seconds in (start, end)
    )
    if first:
      sound.seek(first)
    count = max(0, last - first) if end < math.inf else -1
    blocks = sound.blocks(2**20, frames=count, dtype='float32', always_2d=True)
    mono = _mono((block.mean(axis=1) for block in blocks), name)
    return mono, sound.samplerate


def _decode_av(
  source: str | bytes, name: str, start: float, end: float
) -> tuple[np.ndarray, int]:
  """Mono samples from `start` to `end` s and their rate, by FFmpeg."""
  import av

  file = io.BytesIO(source) if isinstance(source, bytes) else source
  formats = ffmpeg.VIDEO_FORMATS + ffmpeg.AUDIO_FORMATS
  with (
    ffmpeg.media_errors(name, 'neither libsndfile nor FFmpeg reads it'),
    ffmpeg.open_container(file, formats) as container,
  ):
    if not container.streams.audio:
      raise NoAudioError(f'{name}: the file has no audio stream')
    stream = container.streams.audio[0]
    try:
      return _mono(_pieces(container, stream, start, end), name), stream.rate
    except (MediaError, av.FFmpegError):
      raise
    except ValueError as error:  # of the sample format's conversion
      raise MediaError(f'{name}: the sound changes its format') from error


def _pieces(container, stream, start: float, end: float) -> Iterator:
  """Yields the mono blocks from `start` to `end` s of the file's time."""
  import av

  # Changes the sample format only; av has no other call for that.
  planar = av.AudioResampler(format='fltp')
  for frame, time in _timed(container, stream, start):
    rate, at = frame.sample_rate, time
    if at >= end * rate:
      return
    for block in planar.resample(frame):
      mono = block.to_ndarray().mean(axis=0)
      first = max(0, round(start * rate) - at) if start > 0 else 0
      last = max(0, round(end * rate) - at) if end < math.inf else None
      yield mono[first:last]
      at += len(mono)


def _timed(container, stream, start: float) -> Iterator:
  """Yields frames, from one at or before `start` s on, and their places.

  A place is the sample of the file's time, 0 where its earliest stream begins,
  at which the frame does.
  """
  import av

  origin = (container.start_time or 0) / av.time_base
  if start > 0:
    # A decoder needs some packets before it is right.
    time = max(0.0, start - PREROLL)
    container.seek(round((origin + time) * av.time_base))
  at = 0 if start <= 0 else None
  for index, frame in enumerate(container.decode(stream)):
    if frame.pts is not None:
      time = float(frame.pts * frame.time_base) - origin
      at = round(time * frame.sample_rate)
    late = at is None or at > start * frame.sample_rate
    if start > 0 and not index and late:  # An index may be wrong or absent.
      container.seek(round(origin * av.time_base))
      yield from _timed(container, stream, 0.0)
      return
    yield frame, at
    at += frame.samples
