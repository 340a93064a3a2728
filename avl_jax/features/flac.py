"""FLAC: the recordings in records."""

import io

import numpy as np
import soundfile

from avl_jax.features import SAMPLE_RATE


def encode(waveform: np.ndarray) -> bytes:
  """Compresses float [samples] at 16 kHz as 16-bit FLAC, clipped at 1."""
  pcm = np.clip(np.rint(np.asarray(waveform) * 32768.0), -32768, 32767)
  buffer = io.BytesIO()
  soundfile.write(buffer, pcm.astype(np.int16), SAMPLE_RATE, format='FLAC')
  return buffer.getvalue()


def decode(data: bytes) -> np.ndarray:
  """Decodes `encode`'s result to float32 [samples] on the 16-bit grid."""
  return soundfile.read(io.BytesIO(data), dtype='float32')[0]
