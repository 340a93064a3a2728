"""Audio: reading any container, log-mel spectrograms, FLAC for records."""

import functools
import io
import os

import librosa
import numpy as np
import soundfile
import soxr

from avl_jax.features import EmptyMediaError, MediaError, containers

SAMPLE_RATE = 16_000  # Hz
N_FFT = 400  # samples, 25 ms
HOP_LENGTH = 160  # samples, 10 ms
NUM_MELS = 40


def read_audio(
  source: str | os.PathLike | bytes, sample_rate: int = SAMPLE_RATE
) -> np.ndarray:
  """Reads the (first) audio stream of a sound or video file as mono.

  Channels are averaged, then resampled with soxr's high quality setting.

  Args:
    source: path of a file in any container that libsndfile reads, or FFmpeg
      and `containers` allows, or its bytes.
    sample_rate: of the result, Hz.

  Returns:
    float32 [samples]; full scale is 1, which lossy codecs may exceed.

  Raises:
    MediaError: the file is missing, empty or unreadable, or has no audio
      stream, no sample or non-finite samples.
  """
  if isinstance(source, bytes):
    name, size = f'audio of {len(source)} bytes', len(source)
  else:
    name = os.fspath(source)
    source = containers.check_file(source)
    size = os.path.getsize(source)
  if not size:
    raise EmptyMediaError(f'{name}: the file has 0 bytes')
  try:
    waveform, rate = _decode_soundfile(source)
  # TypeError: libsndfile wants the format of a file named *.raw.
  except (soundfile.LibsndfileError, TypeError):
    waveform, rate = _decode_av(source, name)
  if waveform.size and rate != sample_rate:
    waveform = soxr.resample(waveform, rate, sample_rate, quality='HQ')
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
  padded = np.pad(waveform, N_FFT // 2, mode='reflect')
  # An array, because librosa takes the name 'hamming' for the periodic window.
  spectrum = librosa.stft(
    padded,
    n_fft=N_FFT,
    hop_length=HOP_LENGTH,
    window=np.hamming(N_FFT),
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
    sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=NUM_MELS, fmin=20.0, fmax=8000.0
  )


def _mono(blocks: list[np.ndarray]) -> np.ndarray:
  """Joins blocks, each [samples], which may be none."""
  return np.concatenate([np.zeros(0, np.float32), *blocks])


def _decode_soundfile(source: str | bytes) -> tuple[np.ndarray, int]:
  """Mono samples and their rate, by libsndfile."""
  file = io.BytesIO(source) if isinstance(source, bytes) else source
  with soundfile.SoundFile(file) as sound:
    blocks = sound.blocks(2**20, dtype='float32', always_2d=True)
    return _mono([block.mean(axis=1) for block in blocks]), sound.samplerate


def _decode_av(source: str | bytes, name: str) -> tuple[np.ndarray, int]:
  """Mono samples and their rate, by FFmpeg's libraries."""
  import av

  file = io.BytesIO(source) if isinstance(source, bytes) else source
  formats = containers.VIDEO_FORMATS + containers.AUDIO_FORMATS
  with (
    containers.media_errors(name, 'neither libsndfile nor FFmpeg reads it'),
    containers.open_container(file, formats) as container,
  ):
    if not container.streams.audio:
      raise MediaError(f'{name}: the file has no audio stream')
    stream = container.streams.audio[0]
    # Changes the sample format only; av has no other call for that.
    planar = av.AudioResampler(format='fltp')
    blocks = [
      block.to_ndarray().mean(axis=0)
      for frame in container.decode(stream)
      for block in planar.resample(frame)
    ]
    return _mono(blocks), stream.rate
