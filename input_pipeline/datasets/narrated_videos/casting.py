"""Casts the videos: lengths, scenes, things and voices of all of them.

Three sets: `untrimmed` videos (train, val, test), `clips` with annotations in
the manner of YouCook2 (train, val, test), and `human`, annotated videos in
which a volunteer's recordings take the place of a synthetic voice (test).

No voice speaks in two splits, and the voices of `clips` are not those of the
training on untrimmed videos. What the others show has been shown there.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np

from input_pipeline.datasets.narrated_videos.settings import Settings
from input_pipeline.datasets.own_videos import splits
from input_pipeline.datasets.stamps import narration
from input_pipeline.datasets.stamps.tuxpaint import Stamp

UNTRIMMED, CLIPS, HUMAN = 'untrimmed', 'clips', 'human'
VOLUNTEER = 'volunteer'  # the voice of the human recordings
_OTHERS = narration.TRAIN_VOICES[::5]
VOICES = {  # (set, split) -> voices of espeak-ng
  (UNTRIMMED, 'train'): tuple(
    voice for voice in narration.TRAIN_VOICES if voice not in _OTHERS
  ),
  (CLIPS, 'train'): _OTHERS,
  # A woman and a man, then two of each.
  **dict.fromkeys(
    ((UNTRIMMED, 'val'), (CLIPS, 'val')), narration.VALIDATION_VOICES[::3]
  ),
  **dict.fromkeys(
    ((UNTRIMMED, 'test'), (CLIPS, 'test')),
    tuple(
      voice
      for voice in narration.VALIDATION_VOICES
      if voice not in narration.VALIDATION_VOICES[::3]
    ),
  ),
  (HUMAN, 'test'): (VOLUNTEER,),
}


@dataclasses.dataclass(frozen=True)
class Scene:
  """A stretch of a video with one background.

  Attributes:
    start: seconds.
    end: seconds.
    things: large; they may be named.
    clutter: small; never named.
  """

  start: float
  end: float
  things: tuple[Stamp, ...]
  clutter: tuple[Stamp, ...]


@dataclasses.dataclass(frozen=True)
class Cast:
  """Who and what is in a video.

  Attributes:
    id: of the video.
    part: 'untrimmed', 'clips' or 'human', the set.
    split: 'train', 'val' or 'test'.
    language: of captions and voice.
    voice: of espeak-ng, or `VOLUNTEER`.
    accent: espeak-ng's name of the language.
    manner: keyword arguments of `Narrator.speak`: rate, pitch, pitch_range.
    scenes: without gaps, from 0 s to the end.
  """

  id: str
  part: str
  split: str
  language: str
  voice: str
  accent: str
  manner: dict[str, int]
  scenes: tuple[Scene, ...]

  @property
  def seconds(self) -> float:
    """Length of the video."""
    return self.scenes[-1].end

  @property
  def source(self) -> str:
    """The voice with its settings, for the table of truth."""
    if self.voice == VOLUNTEER:
      return VOLUNTEER
    return f'{self.accent}+{self.voice} {json.dumps(self.manner)}'


def generator(settings: Settings, *names: str) -> np.random.Generator:
  """The random numbers of a purpose; a function of the seed alone."""
  text = ' '.join((str(settings.seed), settings.language, *names))
  digest = hashlib.sha256(text.encode()).digest()
  return np.random.default_rng(int.from_bytes(digest[:8]))


def cast(settings: Settings, stamps: Sequence[Stamp]) -> list[Cast]:
  """Casts all videos.

  Args:
    settings: of the videos.
    stamps: things to show, in an order set by their content.

  Returns:
    The videos of training first, then the others, by set and split.
  """
  numbers = {
    **{(UNTRIMMED, s): n for s, n in _by_split(settings.num_videos)},
    **{(CLIPS, s): n for s, n in _by_split(settings.num_clip_videos)},
    (HUMAN, 'test'): settings.num_human_videos,
  }
  found: list[Cast] = []
  shown = list(stamps)
  if settings.num_things:
    things = generator(settings, 'things').permutation(len(shown))
    shown = [shown[i] for i in sorted(things[: settings.num_things])]
  for (part, split), number in numbers.items():
    deck = _deal(shown, generator(settings, part, split, 'deck'))
    for index in range(number):
      place = index, number
      found.append(_cast_one(settings, part, split, place, deck))
    if (part, split) == (UNTRIMMED, 'train'):
      names = {t.name for c in found for s in c.scenes for t in s.things}
      shown = [stamp for stamp in shown if stamp.name in names]
  return found


def _by_split(numbers: Sequence[int]) -> Iterator[tuple[str, int]]:
  return zip(splits.NAMES, numbers, strict=True)


def _deal(stamps: Sequence[Stamp], rng: np.random.Generator) -> Iterator[Stamp]:
  """Yields all stamps again and again, shuffled anew: all equally often."""
  while True:
    for index in rng.permutation(len(stamps)):
      yield stamps[index]


def _cast_one(
  settings: Settings,
  part: str,
  split: str,
  place: tuple[int, int],
  deck: Iterator[Stamp],
) -> Cast:
  index, number = place
  identity = f'{part}_{split}_{index:04d}'
  rng = generator(settings, identity, 'cast')
  low, high = np.log(settings.lengths)
  # Spread over the range, so that the sum hardly depends on the seed.
  share = (index + rng.random()) / number
  # Full seconds, so that sound and picture end together.
  seconds = float(round(np.exp(low + share * (high - low))))
  language = settings.language
  voices = VOICES[part, split]
  return Cast(
    id=identity,
    part=part,
    split=split,
    language=language,
    voice=voices[index % len(voices)],
    accent=str(rng.choice(narration.ACCENTS.get(language, [language]))),
    manner={
      'rate': int(rng.integers(85, 200)),
      'pitch': int(rng.integers(10, 90)),
      'pitch_range': int(rng.integers(30, 99)),
    },
    scenes=tuple(_scenes(settings, seconds, rng, deck)),
  )


def _scenes(
  settings: Settings,
  seconds: float,
  rng: np.random.Generator,
  deck: Iterator[Stamp],
) -> Iterator[Scene]:
  start, least = 0.0, settings.scene_lengths[0]
  while start < seconds:
    end = round(start + rng.uniform(*settings.scene_lengths), 1)
    if seconds - end < least:
      end = seconds
    things, clutter = (
      tuple(next(deck) for _ in range(number))
      for number in (
        rng.integers(1, settings.things_at_once + 1),
        rng.integers(settings.clutter + 1),
      )
    )
    yield Scene(start, end, things, clutter)
    start = end
