"""Writes the script of a video: what is where, and what is said, and when.

A thing moves along a line, with a wobble, and grows or shrinks. It fades in and
out. In a spoken scene each of its things is named one to three times: while it
is shown, or up to `shift` seconds earlier or later, one naming after the other.
One that would have to wait for more than a second is left out.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from avl_jax.features import SAMPLE_RATE
from input_pipeline.datasets.narrated_videos import casting
from input_pipeline.datasets.narrated_videos.casting import Cast, Scene
from input_pipeline.datasets.narrated_videos.settings import Settings
from input_pipeline.datasets.stamps.tuxpaint import Stamp

HEIGHT, WIDTH = 240, 320  # pixels
_FADE = 0.5  # seconds
_PAUSE = 0.15  # least seconds between two namings, and around them
_LATE = 1.0  # most seconds that a naming waits for the end of another
_NAMINGS = 3  # of a thing in a scene, at most
# Longer sides of things and clutter, least and greatest, pixels.
_LARGE, _SMALL = (85.0, 150.0), (25.0, 50.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Showing:
  """A thing on the screen.

  Attributes:
    thing: the stamp.
    scene: index of the scene.
    is_clutter: whether it is small, at rest and never named.
    start: seconds.
    end: seconds.
    first: centre x, centre y and longer side at the start, pixels.
    last: the same at the end.
    wobble: pixels, and turns a second.
  """

  thing: Stamp
  scene: int
  is_clutter: bool
  start: float
  end: float
  first: tuple[float, float, float]
  last: tuple[float, float, float]
  wobble: tuple[float, float] = (0.0, 0.0)

  def at(self, time: float) -> tuple[tuple[float, float, float], float] | None:
    """Centre x, centre y and longer side in pixels, and opacity from 0 to 1.

    None: it is not shown at this time, in seconds.
    """
    if not self.start <= time < self.end:
      return None
    share = (time - self.start) / (self.end - self.start)
    x, y, side = (
      (1 - share) * a + share * b
      for a, b in zip(self.first, self.last, strict=True)
    )
    pixels, turns = self.wobble
    y += pixels * float(np.sin(2 * np.pi * turns * (time - self.start)))
    nearest = min(time - self.start, self.end - time)
    opacity = 1.0 if self.is_clutter else min(1.0, nearest / _FADE)
    return (x, y, side), opacity


@dataclasses.dataclass(frozen=True)
class Sound:
  """What is heard: a name, or a natural sound.

  Attributes:
    thing: the stamp.
    scene: index of the scene.
    start: seconds.
    waveform: float32 [samples] at 16 kHz.
  """

  thing: Stamp
  scene: int
  start: float
  waveform: np.ndarray

  @property
  def end(self) -> float:
    """Seconds."""
    return self.start + len(self.waveform) / SAMPLE_RATE


@dataclasses.dataclass(frozen=True)
class Script:
  """All that is shown and heard in a video.

  Attributes:
    cast: of the video.
    showings: from back to front.
    namings: in the order of time; they do not overlap.
    sounds: natural ones.
  """

  cast: Cast
  showings: tuple[Showing, ...]
  namings: tuple[Sound, ...]
  sounds: tuple[Sound, ...]

  def caption(self, thing: Stamp) -> str:
    """A thing's name in the language of the video."""
    return thing.captions[self.cast.language]


def write(
  settings: Settings,
  cast: Cast,
  *,
  speak: Callable[[Stamp], np.ndarray | None],
  natural_sound: Callable[[Stamp], np.ndarray | None],
) -> Script:
  """Writes the script of a video.

  Args:
    settings: of all videos.
    cast: of this one.
    speak: float32 [samples] at 16 kHz of a thing's name; None: the voice cannot
      say it.
    natural_sound: likewise; None: the thing has none.
  """
  rng = casting.generator(settings, cast.id, 'script')
  showings: list[Showing] = []
  wanted: list[tuple[float, int, Stamp]] = []
  sounds: list[Sound] = []
  for index, scene in enumerate(cast.scenes):
    showings += [_clutter(scene, index, thing, rng) for thing in scene.clutter]
    is_spoken = rng.random() < settings.speech_share
    for place, thing in enumerate(scene.things):
      showing = _showing(scene, index, thing, place, rng)
      showings.append(showing)
      length = showing.end - showing.start
      moments = showing.start + length * rng.uniform(0, 0.8, _NAMINGS)
      moments += rng.uniform(-settings.shift, settings.shift, _NAMINGS)
      moments = moments[: rng.integers(1, _NAMINGS + 1)]
      if is_spoken:
        wanted += [(float(moment), index, thing) for moment in moments]
      is_heard = rng.random() < settings.sound_share
      if is_heard and (sound := natural_sound(thing)) is not None:
        last = round((cast.seconds - showing.start) * SAMPLE_RATE)
        sounds.append(Sound(thing, index, showing.start, sound[:last]))
  return Script(
    cast,
    tuple(showings),
    tuple(_namings(wanted, cast.seconds, speak)),
    tuple(sounds),
  )


def _namings(
  wanted: list[tuple[float, int, Stamp]],
  seconds: float,
  speak: Callable[[Stamp], np.ndarray | None],
) -> Iterator[Sound]:
  """Places the namings one after the other, those that there is time for.

  Args:
    wanted: (seconds, scene, thing) of each naming.
    seconds: length of the video.
    speak: see `write`.
  """
  free = _PAUSE
  for moment, scene, thing in sorted(wanted, key=lambda item: item[:2]):
    start = round(max(moment, free), 2)
    if start - max(moment, _PAUSE) > _LATE:
      continue
    waveform = speak(thing)
    if waveform is not None:
      naming = Sound(thing, scene, start, waveform)
      if naming.end + _PAUSE <= seconds:
        yield naming
        free = naming.end + _PAUSE


def _showing(
  scene: Scene, index: int, thing: Stamp, place: int, rng: np.random.Generator
) -> Showing:
  """A thing of a scene, in its part of the screen, that comes and goes."""
  length = scene.end - scene.start
  late, early = length * rng.uniform(0, 0.25, 2)
  # A network sees the square in the middle.
  left, width = (WIDTH - HEIGHT) / 2, HEIGHT / len(scene.things)
  ends = [
    (
      float(left + width * (place + rng.uniform(0.3, 0.7))),
      float(HEIGHT * rng.uniform(0.35, 0.65)),
      float(rng.uniform(*_LARGE)),
    )
    for _ in range(2)
  ]
  return Showing(
    thing=thing,
    scene=index,
    is_clutter=False,
    start=round(scene.start + late, 2),
    end=round(scene.end - early, 2),
    first=ends[0],
    last=ends[1],
    wobble=(float(rng.uniform(0, 12)), float(rng.uniform(0.2, 1.0))),
  )


def _clutter(
  scene: Scene, index: int, thing: Stamp, rng: np.random.Generator
) -> Showing:
  """A small thing at rest, from the beginning to the end of a scene."""
  place = (
    float(WIDTH * rng.uniform(0.05, 0.95)),
    float(HEIGHT * rng.uniform(0.05, 0.95)),
    float(rng.uniform(*_SMALL)),
  )
  return Showing(
    thing=thing,
    scene=index,
    is_clutter=True,
    start=scene.start,
    end=scene.end,
    first=place,
    last=place,
  )
