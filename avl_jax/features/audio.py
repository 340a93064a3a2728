"""Reads audio of any container; log-mel spectrograms."""

import functools
import io
import math
import os
from collections.abc import Sequence
from typing import Any

import librosa
import numpy as np
import soundfile
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
  ffmpeg,
)

SILENCE = 1e-3  # peak below which a recording counts as silent (-60 dBFS)
LONGEST = 2**29  # samples of a file that is read: three hours at 48 kHz
_BLOCK = 2**20  # samples read at a time
_UNTRUSTED = ('MP3', 'MPEG', 'OGG')  # formats whose length must be checked
_TOLERATED = 0.2  # seconds of padding in a codec's packets


def read_audio(
  source: str | os.PathLike | bytes,
  sample_rate: int = SAMPLE_RATE,
  *,
  start: float = 0.0,
  end: float = math.inf,
  tolerance: float = ffmpeg.TOLERANCE,
) -> np.ndarray:
  """Reads the first audio stream of an audio or video file as mono.

  Channels are averaged, then resampled with soxr's high-quality setting. If a
  piece is asked for, memory holds no more than the piece. In a video, what the
  sound lacks at its beginning and in gaps is silence, so that second k of the
  result belongs to second k of the picture.

  Args:
    source: path of a file, or its content. The container is one that
      libsndfile reads, or one of the formats in `ffmpeg`.
    sample_rate: of the result, Hz.
    start: of the piece, in seconds of the file's own time (in a video, the
      time of its pictures); 0: from the first sample.
    end: of the piece, seconds; a recording that is shorter ends the piece.
    tolerance: share of the packets that may be damaged, see `ffmpeg.Damage`;
      they become silence.

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
    name, size = f'Audio of {len(source)} bytes', len(source)
  else:
    name = os.fspath(source)
    source = ffmpeg.check_file(source)
    size = os.path.getsize(source)
  if not size:
    raise EmptyMediaError(f'{name}: The file has 0 bytes.')
  runs = _decode_soundfile(source, name, start, end)
  if not runs:
    from avl_jax.features import ffmpeg_audio

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


def _decode_soundfile(
  source: str | bytes, name: str, start: float, end: float
) -> list[tuple[np.ndarray, int]]:
  """Reads mono samples from `start` to `end` s with libsndfile; their rate.

  The result is empty if libsndfile cannot read the file, finds no samples in
  it, or reads less or more than the file has.
  """
  # Bytes, because soundfile refuses names that are not UTF-8.
  is_path = isinstance(source, str)
  file: Any = os.fsencode(source) if is_path else io.BytesIO(source)
  try:
    with soundfile.SoundFile(file) as sound:
      if not sound.frames or not _is_whole(source, sound):
        return []
      first, last = (
        round(min(seconds * sound.samplerate, sound.frames))
        for seconds in (start, end)
      )
      if first:
        sound.seek(first)
      return [(_mono(sound, max(0, last - first), name), sound.samplerate)]
  # TypeError: for a file named *.raw, libsndfile needs to be told the format.
  except (soundfile.LibsndfileError, TypeError):
    return []


def _mono(sound: soundfile.SoundFile, count: int, name: str) -> np.ndarray:
  """Reads up to `count` samples; RefusedError beyond `LONGEST`."""
  joined, length = [np.zeros(0, np.float32)], 0
  while length < count:
    # Not `sound.blocks`: where the file ends early, it returns old memory.
    wanted = min(_BLOCK, count - length)
    block = sound.read(wanted, dtype='float32', always_2d=True)
    joined.append(block.mean(axis=1))
    length += len(block)
    if length > LONGEST:
      raise RefusedError(
        f'{name}: The audio has more than {LONGEST:,} samples.'
      )
    if len(block) < wanted:
      break
  return np.concatenate(joined)


def _is_whole(source: str | bytes, sound: soundfile.SoundFile) -> bool:
  """Whether libsndfile reads all of the file, at the right speed.

  It believes the header of an MP3, or guesses the length from the first
  packet, and it reads the first of several Ogg streams in a file.
  """
  from avl_jax.features import ffmpeg_audio

  if sound.format not in _UNTRUSTED:
    return True
  try:
    seconds, kinds = ffmpeg_audio.packets(source)
  except MediaError:
    return True  # FFmpeg cannot read it either.
  length = sound.frames / sound.samplerate
  return kinds < 2 and abs(seconds - length) < _TOLERATED
