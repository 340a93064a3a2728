"""Reads audio of any container; log-mel spectrograms."""

import functools
import math
import os
from collections.abc import Sequence

import librosa
import numpy as np
import soxr

from avl_jax.features import (
  HOP_LENGTH,
  MEL_BINS,
  SAMPLE_RATE,
  WINDOW_LENGTH,
  EmptyMediaError,
  MediaError,
  RefusedError,
  SilentMediaError,
  TooShortError,
  soundfile_audio,
)
from avl_jax.features.ffmpeg import containers

SILENCE = 1e-3  # peak below which a recording counts as silent (-60 dBFS)
LONGEST = 2**29  # samples of a file that is read: three hours at 48 kHz


def read_audio(
  source: str | os.PathLike | bytes,
  sample_rate: int = SAMPLE_RATE,
  *,
  start: float = 0.0,
  end: float = math.inf,
  tolerance: float = containers.TOLERANCE,
) -> np.ndarray:
  """Reads the first audio stream of an audio or video file as mono.

  Channels are averaged, then resampled with soxr's high-quality setting. If a
  piece is asked for, memory holds no more than the piece. In a video, what the
  sound lacks at its beginning and in gaps is silence, so that second k of the
  result belongs to second k of the picture. (An AVI has no times of its sound,
  so its gaps are lost.) Of a file that is cut off, what is there is read.

  Args:
    source: path or content of a file, or an `OpenFile`. The container and the
      codec are some of `formats`.
    sample_rate: of the result, Hz.
    start: of the piece, in seconds of the file's own time (in a video, the
      time of its pictures); 0: from the first sample.
    end: of the piece, seconds; a recording that is shorter ends the piece.
    tolerance: share of the packets that may be damaged, see
      `containers.Damage`; they become silence.

  Returns:
    float32 [samples]; full scale is 1, which lossy codecs may exceed.

  Raises:
    MediaError: the file is missing, empty or unreadable, or has samples that
      are not finite; RefusedError: it has more than `LONGEST`; NoAudioError: it
      has no audio stream; TooShortError: it has no samples from `start` on.

  Example:
    waveform = audio.read_audio('cooking.mp4', start=12.0, end=19.5)
    spectrogram = audio.log_mel_spectrogram(waveform)  # [751, 40]
  """
  if isinstance(source, bytes):
    name = f'Audio of {len(source)} bytes'
    if not source:
      raise EmptyMediaError(f'{name}: The file has 0 bytes.')
  else:
    name = os.fspath(source)
    source = containers.check_file(source)
  runs = soundfile_audio.decode(source, name, start, end, LONGEST)
  if not runs:
    from avl_jax.features.ffmpeg import audio as ffmpeg_audio

    runs = ffmpeg_audio.decode(source, name, start, end, tolerance, LONGEST)
  waveform = _resample(runs, sample_rate, name)
  if not waveform.size and start > 0:
    raise TooShortError(f'{name}: There is no audio from {start:g} s on.')
  if not waveform.size:
    raise TooShortError(f'{name}: The audio stream has 0 samples.')
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


def _resample(
  runs: Sequence[tuple[np.ndarray, int]], sample_rate: int, name: str
) -> np.ndarray:
  """Brings runs of samples to one rate and joins them."""
  length = sum(len(run) * sample_rate / rate for run, rate in runs)
  if length > LONGEST:
    raise RefusedError(
      f'{name}: The audio has {length:,.0f} samples at {sample_rate:,} Hz. '
      f'Expected at most {LONGEST:,}.'
    )
  joined = [np.zeros(0, np.float32)]
  for run, rate in runs:
    if run.size and rate != sample_rate:
      joined.append(soxr.resample(run, rate, sample_rate, quality='HQ'))
    else:
      joined.append(run)
  return np.concatenate(joined) if len(joined) != 2 else joined[1]
