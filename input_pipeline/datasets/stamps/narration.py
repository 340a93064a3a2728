"""Synthetic narration: espeak-ng speaks sentences in many voices."""

import contextlib
import ctypes
import functools
import hashlib
import json
import pathlib
import threading
from collections.abc import Callable, Iterator, Sequence

import espeakng_loader
import numpy as np
import soxr

from avl_jax.features import SAMPLE_RATE, SilentMediaError

_SHORTEST, _FAINTEST = 0.1, 0.01  # seconds and peak of the least speech

# Variants chosen by their settings and by measurements of their speech: no
# robots, whispers, strong echoes, monotones or clipping, and no two variants
# that sound alike (mean difference of log-mel cells below 3.5 dB). Twelve of
# the thirty are women's voices.
TRAIN_VOICES = (
  *('Alicia', 'Andrea', 'anika', 'aunty', 'belinda', 'f1', 'f2', 'f4', 'f5'),
  *('grandma', 'linda', 'steph', 'Denis', 'Gene', 'Mario', 'Reed', 'norbert'),
  *('david', 'pedro', 'gustave', 'kaukovalta', 'm1', 'm2', 'm3', 'm7', 'max'),
  *('miguel', 'robert', 'sandro', 'travis'),
)
# Each of these differs by at least 5.5 dB from every training voice.
VALIDATION_VOICES = ('Annie', 'f3', 'shelby', 'boris', 'm4', 'pablo')
ACCENTS = {  # of espeak-ng, for languages with several
  'fr': ('fr', 'fr-be', 'fr-ch'),
  'es': ('es', 'es-419'),
  'ca': ('ca', 'ca-va', 'ca-nw', 'ca-ba'),
}

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

  The same call returns the same samples in any order and process. The library
  keeps state between utterances that none of its functions resets, so it is
  loaded again for each utterance (5 ms), and its noise is seeded. Threads may
  share a narrator; they take turns.
  """

  _lock = threading.Lock()  # of the process: it has one copy of the library

  def voices(self) -> tuple[str, ...]:
    """Names of the voice variants; each works with every language."""
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
      language: espeak-ng's name, such as 'fr', 'fr-be' or 'es-419'.
      voice: one of `voices()`.
      rate: words per minute, 80 to 450.
      pitch: 0 to 99; about 50 is the voice's own.
      pitch_range: 0 (monotone) to 99; about 50 is the voice's own.

    Returns:
      float32 [samples] at 16 kHz, without a pause before or after. Full scale
      is 1; a few loud voices exceed it by 2 %.

    Raises:
      ValueError: the language or the voice is unknown, or a number is out of
        its range.
      SilentMediaError: the result is not audible (empty text; a voice that
        fails in this language).

    Example:
      waveform = Narrator().speak('un chat noir', 'fr', 'f2')
    """
    numbers = {'rate': rate, 'pitch': pitch, 'pitch_range': pitch_range}
    for name, (low, high) in _RANGES.items():
      if not low <= numbers[name] <= high:
        raise ValueError(
          f'{name} is {numbers[name]}. Expected {low} to {high}.'
        )
    if voice not in self.voices():
      raise ValueError(f'espeak-ng has no voice {voice!r}.')
    pcm, source_rate = self._synthesise(text, language, voice, numbers)
    loudest = np.abs(pcm.astype(np.float32)).max(initial=0) / 32768
    if len(pcm) < _SHORTEST * source_rate or loudest < _FAINTEST:
      raise SilentMediaError(
        f'espeak-ng produced no speech for {text!r} in {language!r} by voice '
        f'{voice!r}: {len(pcm) / source_rate:.2f} s with a peak of '
        f'{loudest:.3f}. Choose another voice.'
      )
    waveform = pcm.astype(np.float32) / 32768
    return soxr.resample(waveform, source_rate, SAMPLE_RATE)

  def _synthesise(
    self, text: str, language: str, voice: str, settings: dict[str, int]
  ) -> tuple[np.ndarray, int]:
    """Returns int16 [samples] of the library, and their rate in Hz."""
    with self._lock, _espeak() as (library, source_rate, blocks):
      if library.espeak_SetVoiceByName(f'{language}+{voice}'.encode()):
        raise ValueError(f'espeak-ng has no language {language!r}.')
      # Half of the default volume, at which many voices exceed full scale.
      library.espeak_SetParameter(_VOLUME, 50, 0)
      library.espeak_SetParameter(_RATE, settings['rate'], 0)
      library.espeak_SetParameter(_PITCH, settings['pitch'], 0)
      library.espeak_SetParameter(_PITCH_RANGE, settings['pitch_range'], 0)
      data = text.encode() + b'\0'
      library.espeak_Synth(
        *(data, ctypes.c_size_t(len(data)), 0, _POSITION_IS_CHARACTER, 0),
        *(_TEXT_IS_UTF8, None, None),
      )
    return np.concatenate([np.zeros(0, np.int16), *blocks]), source_rate


def renderings(
  narrator: Narrator,
  caption: str,
  language: str,
  *,
  seed: str,
  voices: Sequence[str],
  count: int,
) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
  """Yields narrations of a caption, each by another voice.

  Args:
    narrator: speaks them.
    caption: text to speak.
    language: one accent of it is drawn per rendering.
    seed: voices and settings are a function of this text.
    voices: to draw from, without replacement.
    count: number of renderings.

  Yields:
    The source (accent, voice and settings), and a function that returns the
    waveform.
  """
  digest = hashlib.sha256(seed.encode()).digest()
  rng = np.random.default_rng(int.from_bytes(digest[:8]))
  for voice in rng.choice(voices, count, replace=False):
    accent = str(rng.choice(ACCENTS.get(language, [language])))
    settings = {
      # Words per minute; volunteers take about 1.2 times as long as 160.
      'rate': int(rng.integers(85, 200)),
      'pitch': int(rng.integers(10, 90)),
      'pitch_range': int(rng.integers(30, 99)),
    }
    source = f'{accent}+{voice} {json.dumps(settings)}'
    speak = functools.partial(narrator.speak, caption, accent, voice)
    yield source, functools.partial(speak, **settings)


@contextlib.contextmanager
def _espeak():
  """Yields a new copy of the library, its sample rate, and blocks of samples.

  The blocks are appended while the library speaks.
  """
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
      raise RuntimeError(
        f'espeak-ng finds no data in {data}. Reinstall espeakng-loader.'
      )
    library.espeak_SetSynthCallback(collect)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    yield library, rate, blocks
    library.espeak_Terminate()
  finally:
    ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))
