"""Synthetic narration: a sentence spoken by espeak-ng, in many voices."""

import contextlib
import ctypes
import pathlib
import threading

import espeakng_loader
import numpy as np
import soxr

from avl_jax.features import SAMPLE_RATE, MediaError

_SHORTEST, _FAINTEST = 0.1, 0.01  # s and full scale; below is no speech.

# Variants chosen by their settings and by measuring what they say: no robots,
# whispers, strong echoes, monotones or clipping, and no two that differ by
# little more than a name (mean difference of log-mel cells below 3.5 dB).
# Twelve of the thirty are women's voices.
TRAIN_VOICES = (
  *('Alicia', 'Andrea', 'anika', 'aunty', 'belinda', 'f1', 'f2', 'f4', 'f5'),
  *('grandma', 'linda', 'steph', 'Denis', 'Gene', 'Mario', 'Reed', 'norbert'),
  *('david', 'pedro', 'gustave', 'kaukovalta', 'm1', 'm2', 'm3', 'm7', 'max'),
  *('miguel', 'robert', 'sandro', 'travis'),
)
# None of these is closer than 5.5 dB to one of the above.
VALIDATION_VOICES = ('Annie', 'f3', 'shelby', 'boris', 'm4', 'pablo')

# From espeak-ng's speak_lib.h.
_SYNCHRONOUS, _DO_NOT_EXIT = 2, 0x8000
_POSITION_IS_CHARACTER, _TEXT_IS_UTF8 = 1, 1
_RATE, _VOLUME, _PITCH, _PITCH_RANGE = 1, 2, 3, 4
_RANGES = {'rate': (80, 450), 'pitch': (0, 99), 'pitch_range': (0, 99)}
_Callback = ctypes.CFUNCTYPE(
  ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class Narrator:
  """Speaks text in any language and voice of espeak-ng.

  The same call gives the same samples, in whatever order and process: the
  library keeps state from one utterance to the next which none of its
  functions resets, so it is loaded afresh for each (5 ms), and its noise is
  seeded. Threads may share a narrator and take turns.
  """

  _lock = threading.Lock()  # Of the process: it has one copy of the library.

  def voices(self) -> tuple[str, ...]:
    """The names of the voice variants; each goes with every language."""
    folder = pathlib.Path(espeakng_loader.get_data_path(), 'voices', '!v')
    return tuple(sorted(path.name for path in folder.iterdir()))

  def speak(
    self,
    text: str,
    language: str,
    voice: str,
    *,
    rate: int = 160,
    pitch: int = 50,
    pitch_range: int = 50,
  ) -> np.ndarray:
    """Speaks plain text.

    Args:
      text: one or more sentences, in the language's own script.
      language: as espeak-ng calls it, such as 'fr', 'fr-be' or 'es-419'.
      voice: one of `voices()`.
      rate: words per minute, 80 to 450.
      pitch: 0 to 99, around 50 for the voice's own.
      pitch_range: 0 (monotone) to 99, around 50 for the voice's own.

    Returns:
      float32 [samples] at 16 kHz, without a pause before or after. Full scale
      is 1; a few loud voices exceed it by 2 %.

    Raises:
      ValueError: the language or the voice is unknown, or a number is out of
        its range.
      MediaError: nothing audible came out (empty text; a voice that fails in
        this language).
    """
    numbers = {'rate': rate, 'pitch': pitch, 'pitch_range': pitch_range}
    for name, (low, high) in _RANGES.items():
      if not low <= numbers[name] <= high:
        raise ValueError(f'{name}: {numbers[name]} is not in {low} to {high}')
    if voice not in self.voices():
      raise ValueError(f'espeak-ng has no voice {voice!r}')
    with self._lock, _espeak() as (library, source_rate, blocks):
      if library.espeak_SetVoiceByName(f'{language}+{voice}'.encode()):
        raise ValueError(f'espeak-ng has no language {language!r}')
      # Half of the usual volume, at which many voices overshoot full scale.
      library.espeak_SetParameter(_VOLUME, 50, 0)
      library.espeak_SetParameter(_RATE, rate, 0)
      library.espeak_SetParameter(_PITCH, pitch, 0)
      library.espeak_SetParameter(_PITCH_RANGE, pitch_range, 0)
      data = text.encode() + b'\0'
      library.espeak_Synth(
        *(data, ctypes.c_size_t(len(data)), 0, _POSITION_IS_CHARACTER, 0),
        *(_TEXT_IS_UTF8, None, None),
      )
    pcm = np.concatenate([np.zeros(0, np.int16), *blocks])
    loudest = np.abs(pcm.astype(np.float32)).max(initial=0) / 32768
    if len(pcm) < _SHORTEST * source_rate or loudest < _FAINTEST:
      raise MediaError(
        f'espeak-ng: {text!r} in {language!r} by voice {voice!r} is '
        f'{len(pcm) / source_rate:.2f} s with a peak of {loudest:.3f}: no '
        'speech; take another voice'
      )
    waveform = pcm.astype(np.float32) / 32768
    return soxr.resample(waveform, source_rate, SAMPLE_RATE)


@contextlib.contextmanager
def _espeak():
  """A fresh copy of the library, its sample rate, and where samples gather."""
  library = ctypes.CDLL(espeakng_loader.get_library_path())
  blocks = []

  @_Callback
  def collect(samples, count, _):
    if count > 0:
      blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
    return 0

  try:
    data = espeakng_loader.get_data_path()
    rate = library.espeak_Initialize(
      _SYNCHRONOUS, 0, str(data).encode(), _DO_NOT_EXIT
    )
    if rate <= 0:
      raise RuntimeError(f'espeak-ng finds no data in {data}: reinstall it')
    library.espeak_SetSynthCallback(collect)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    yield library, rate, blocks
    library.espeak_Terminate()
  finally:
    ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))
