"""Speaks the things' names, and mixes the sound of a video."""

from collections.abc import Callable

import numpy as np

from avl_jax.features import SAMPLE_RATE, MediaError, audio, reading
from input_pipeline.datasets.narrated_videos import casting
from input_pipeline.datasets.narrated_videos.casting import Cast
from input_pipeline.datasets.narrated_videos.scripts import Script
from input_pipeline.datasets.narrated_videos.settings import Settings
from input_pipeline.datasets.stamps import narration
from input_pipeline.datasets.stamps.tuxpaint import Stamp

SPEECH, NATURAL, ROOM = -20.0, -28.0, -55.0  # dB, RMS below full scale
_PEAK = 0.95  # of full scale
_LONGEST = 3.0  # seconds of a natural sound


def speaker(
  cast: Cast, narrator: narration.Narrator
) -> Callable[[Stamp], np.ndarray | None]:
  """The function that says a thing's name in the voice of a video.

  It returns float32 [samples] at 16 kHz, RMS `SPEECH`, without a pause before
  or after; None if the voice cannot say it. A name has the same sound each
  time.
  """
  said: dict[str, np.ndarray | None] = {}

  def speak(thing: Stamp) -> np.ndarray | None:
    if thing.name not in said:
      said[thing.name] = _level(lambda: _say(thing, cast, narrator), SPEECH)
    return said[thing.name]

  return speak


def _say(thing: Stamp, cast: Cast, narrator: narration.Narrator) -> np.ndarray:
  if cast.voice == casting.VOLUNTEER:
    recording = thing.recordings[cast.language]
    with reading.guard(recording):
      return audio.read_audio(recording)
  caption = thing.captions[cast.language]
  return narrator.speak(caption, cast.accent, cast.voice, **cast.manner)


def natural_sound(thing: Stamp) -> np.ndarray | None:
  """Float32 [samples] at 16 kHz, RMS `NATURAL`; None: the thing has none."""
  path = thing.sound
  if path is None:
    return None

  def read() -> np.ndarray:
    with reading.guard(path):
      return audio.read_audio(path, end=_LONGEST)

  return _level(read, NATURAL)


def _level(
  make: Callable[[], np.ndarray], decibels: float
) -> np.ndarray | None:
  """Brings a sound to a level, trimmed; None: it is not audible."""
  try:
    waveform = audio.check_audible(make(), 'sound')
  except MediaError:
    return None
  loud = np.flatnonzero(np.abs(waveform) > 0.02 * np.abs(waveform).max())
  waveform = waveform[loud[0] : loud[-1] + 1]
  rms = np.sqrt(np.mean(np.square(waveform)))
  waveform = waveform * (10 ** (decibels / 20) / rms)
  waveform = waveform / max(1.0, float(np.abs(waveform).max()) / _PEAK)
  return waveform.astype(np.float32)


def mix(settings: Settings, script: Script) -> np.ndarray:
  """Mixes speech, natural sounds and a room's noise, as the script says.

  Returns:
    float32 [samples] at 16 kHz, within full scale.
  """
  rng = casting.generator(settings, script.cast.id, 'sound')
  length = round(script.cast.seconds * SAMPLE_RATE)
  waveform = rng.standard_normal(length, np.float32)
  waveform *= np.float32(10 ** (ROOM / 20))
  for sound in (*script.namings, *script.sounds):
    first = round(sound.start * SAMPLE_RATE)
    part = waveform[first : first + len(sound.waveform)]
    part += sound.waveform[: len(part)]
  return np.clip(waveform, -1, 1)
