"""Reads audio of any container; log-mel spectrograms."""

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
  SilentMediaError,
  ffmpeg,
)

SILENCE = 1e-3  # peak below which a recording counts as silent (-60 dBFS)
LONGEST = 2**29  # samples of a file that is read: three hours at 48 kHz
PREROLL = 1.0  # seconds decoded before a piece


def read_audio(
  source: str | os.PathLike | bytes,
  sample_rate: int = SAMPLE_RATE,
  *,
  start: float = 0.0,
  end: float = math.inf,
) -> np.ndarray:
  """Reads the first audio stream of an audio or video file as mono.

  Channels are averaged, then resampled with soxr's high-quality setting. If a
  piece is asked for, memory holds no more than the piece.

  Args:
    source: path of a file, or its content. The container is one that
      libsndfile reads, or one of the formats in `ffmpeg`.
    sample_rate: of the result, Hz.
    start: of the piece, in seconds of the file's own time (in a video, the
      time of its pictures); 0: from the first sample.
    end: of the piece, seconds; a recording that is shorter ends the piece.

  Returns:
    float32 [samples]; full scale is 1, which lossy codecs may exceed.

  Raises:
    MediaError: the file is missing, empty or unreadable, or has no samples,
      more than `LONGEST`, or some that are not finite; NoAudioError: it has no
      audio stream; BeyondEndError: it ends before `start`.

  Example:
    waveform = audio.read_audio('cooking.mp4', start=12.0, end=19.5)
    spectrogram = audio.log_mel_spectrogram(waveform)  # [751, 40]
  """
  if isinstance(source, bytes):
    name, size = f'Audio of {len(source)} bytes', len(source)
  else:
    name = os.fspath(source)
    source = ffmpeg.check_file(source)
    size = os.path.getsize(source)
  if not size:
    raise EmptyMediaError(f'{name}: The file has 0 bytes.')
  try:
    waveform, rate = _decode_soundfile(source, name, start, end)
  # TypeError: for a file named *.raw, libsndfile needs to be told the format.
  except (soundfile.LibsndfileError, TypeError):
    waveform, rate = _decode_av(source, name, start, end)
  if waveform.size and rate != sample_rate:
    waveform = soxr.resample(waveform, rate, sample_rate, quality='HQ')
  if not waveform.size and start > 0:
    raise BeyondEndError(f'{name}: There is no audio from {start:g} s on.')
  if not waveform.size:
    raise EmptyMediaError(f'{name}: The audio stream has 0 samples.')
  if not np.isfinite(waveform).all():
    raise MediaError(f'{name}: The audio has infinite or NaN samples.')
  return waveform


def log_mel_spectrogram(waveform: np.ndarray) -> np.ndarray:
  """Computes the 40-band log-mel spectrogram of AVLnet's audio encoder.

  The steps are: mean removal, pre-emphasis y[t] - 0.97 y[t-1], 25 ms symmetric
  Hamming windows every 10 ms (centred, reflected at the ends), power spectrum,
  40 Slaney bands from 20 to 8000 Hz, decibels.

  Args:
    waveform: [samples] at 16 kHz; an empty one counts as 200 zeros.

  Returns:
    float32 [1 + samples // 160, 40], dB below the loudest cell of the
    waveform, -80 to 0. Note that 0 is the loudest value, not silence, and that
    digital silence is 0 throughout, since all its cells are equally loud.

  Raises:
    ValueError: the waveform is not one-dimensional.
    librosa.ParameterError: the waveform has infinite or NaN samples.

  Example:
    spectrogram = log_mel_spectrogram(read_audio('question.wav'))
  """
  waveform = np.asarray(waveform, np.float32)
  if waveform.ndim != 1:
    raise ValueError(
      f'The waveform has the shape {waveform.shape}. Expected [samples].'
    )
  if not waveform.size:
    waveform = np.zeros(200, np.float32)
  waveform = waveform - waveform.mean()
  waveform[1:] -= np.float32(0.97) * waveform[:-1]
  # librosa pads likewise, but warns if the waveform is shorter than a window.
  padded = np.pad(waveform, WINDOW_LENGTH // 2, mode='reflect')
  # An array, because librosa's name 'hamming' means the periodic window.
  spectrum = librosa.stft(
    padded,
    n_fft=WINDOW_LENGTH,
    hop_length=HOP_LENGTH,
    window=np.hamming(WINDOW_LENGTH),
    center=False,
  )
  # Not `@`: while the cores are busy, BLAS waits 20 ms for its threads.
  mel = np.einsum('mf,ft->tm', _mel_filters(), np.abs(spectrum) ** 2)  # [T, 40]
  return librosa.power_to_db(mel, ref=np.max)


def check_audible(waveform: np.ndarray, name: str) -> np.ndarray:
  """Returns a waveform [samples]; raises SilentMediaError if it is silent.

  The spectrogram of digital silence is 0 dB throughout, as if it were loud.
  """
  peak = np.abs(waveform).max()
  if peak < SILENCE:
    raise SilentMediaError(f'{name}: The peak is {peak:.1e} of full scale.')
  return waveform


@functools.cache
def _mel_filters() -> np.ndarray:
  """Weights of the mel bands, float32 [40, 201]."""
  return librosa.filters.mel(
    sr=SAMPLE_RATE, n_fft=WINDOW_LENGTH, n_mels=MEL_BINS, fmin=20.0, fmax=8000.0
  )


def _mono(blocks: Iterable[np.ndarray], name: str) -> np.ndarray:
  """Joins any number of blocks [samples]; MediaError beyond `LONGEST`."""
  joined, length = [np.zeros(0, np.float32)], 0
  for block in blocks:
    joined.append(block)
    length += len(block)
    if length > LONGEST:
      raise MediaError(f'{name}: The audio has more than {LONGEST:,} samples.')
  return np.concatenate(joined)


def _decode_soundfile(
  source: str | bytes, name: str, start: float, end: float
) -> tuple[np.ndarray, int]:
  """Reads mono samples from `start` to `end` s with libsndfile; their rate."""
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
  """Reads mono samples from `start` to `end` s with FFmpeg; their rate."""
  import av

  file = io.BytesIO(source) if isinstance(source, bytes) else source
  formats = ffmpeg.VIDEO_FORMATS + ffmpeg.AUDIO_FORMATS
  with (
    ffmpeg.media_errors(
      name, 'Neither libsndfile nor FFmpeg can read the file'
    ),
    ffmpeg.open_container(file, formats) as container,
  ):
    if not container.streams.audio:
      raise NoAudioError(f'{name}: The file has no audio stream.')
    stream = container.streams.audio[0]
    try:
      return _mono(_blocks(container, stream, start, end), name), stream.rate
    except (MediaError, av.FFmpegError):
      raise
    except ValueError as error:  # raised by the sample format's conversion
      raise MediaError(
        f'{name}: The format of the samples changes within the file.'
      ) from error


def _blocks(container, stream, start: float, end: float) -> Iterator:
  """Yields mono blocks from `start` to `end` s of the file's time."""
  import av

  # Changes only the sample format; av has no other call for that.
  planar = av.AudioResampler(format='fltp')
  for frame, time in _timed_frames(container, stream, start):
    rate, at = frame.sample_rate, time
    if at >= end * rate:
      return
    for block in planar.resample(frame):
      mono = block.to_ndarray().mean(axis=0)
      first = max(0, round(start * rate) - at) if start > 0 else 0
      last = max(0, round(end * rate) - at) if end < math.inf else None
      yield mono[first:last]
      at += len(mono)


def _timed_frames(container, stream, start: float) -> Iterator:
  """Yields (frame, first sample), from a frame at or before `start` s on.

  Samples count the file's time, from 0 at the start of its earliest stream.
  """
  import av

  origin = (container.start_time or 0) / av.time_base
  if start > 0:
    # A decoder needs some packets before its output is correct.
    time = max(0.0, start - PREROLL)
    container.seek(round((origin + time) * av.time_base))
  at = 0 if start <= 0 else None
  for index, frame in enumerate(container.decode(stream)):
    if frame.pts is not None:
      time = float(frame.pts * frame.time_base) - origin
      at = round(time * frame.sample_rate)
    late = at is None or at > start * frame.sample_rate
    if start > 0 and not index and late:  # The index is wrong or missing.
      container.seek(round(origin * av.time_base))
      yield from _timed_frames(container, stream, 0.0)
      return
    yield frame, at
    at += frame.samples
