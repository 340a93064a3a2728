"""Settings of generated narrated videos."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from avl_jax.errors import ConfigError
from input_pipeline.datasets import option_checks
from input_pipeline.datasets.stamps import tuxpaint

FILE = 'settings.json'  # in the folder of the videos, and beside the records
# Part of the name of a data set of clips -> option with its numbers of videos.
_NUMBERS = {'clips': 'num_clip_videos', 'human': 'num_human_videos'}
_SCHEMA = 1  # of what is made; a change makes other videos of the same settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """What the videos are a function of, beside the stamps.

  The default is seven hours of video, five of them for training; the test
  split of its `clips` has more than 300 clips.

  Attributes:
    language: code of the captions and voices.
    seed: of everything.
    num_videos: untrimmed videos of train, val and test.
    num_clip_videos: annotated videos of train, val and test.
    num_human_videos: annotated videos for test, in which a volunteer speaks.
    num_things: how many stamps the videos are about; 0: all.
    lengths: least and greatest seconds of a video.
    scene_lengths: least and greatest seconds of a scene.
    things_at_once: most stamps of a scene that may be named.
    clutter: most small stamps of a scene that are never named.
    shift: a thing is named up to so many seconds earlier or later than while
      it is shown.
    speech_share: share of the scenes whose things are named.
    sound_share: share of the showings with the natural sound, of the things
      that have one.
  """

  language: str
  seed: int = 1
  num_videos: tuple[int, int, int] = (150, 3, 3)
  num_clip_videos: tuple[int, int, int] = (10, 8, 26)
  num_human_videos: int = 14
  num_things: int = 100
  lengths: tuple[float, float] = (30.0, 300.0)
  scene_lengths: tuple[float, float] = (4.0, 9.0)
  things_at_once: int = 2
  clutter: int = 2
  shift: float = 1.5
  speech_share: float = 0.8
  sound_share: float = 0.5

  def __post_init__(self):
    """Checks the values, and converts them to the types of their fields.

    Raises:
      ConfigError: a value is not possible.
    """
    key = 'prepare.narrated'
    option_checks.convert(self, key)
    conditions = (
      ('language', self.language in tuxpaint.LANGUAGES, tuxpaint.LANGUAGES),
      (
        'num_videos',
        _are_counts(self.num_videos, 1),
        'three numbers, 1 or more of train',
      ),
      (
        'num_clip_videos',
        _are_counts(self.num_clip_videos),
        'three numbers, 0 or more',
      ),
      ('num_human_videos', self.num_human_videos >= 0, 'a number, 0 or more'),
      ('num_things', self.num_things >= 0, 'a number, 0 or more'),
      ('lengths', _is_range(self.lengths, 2.0), 'two, from 2 s upwards'),
      ('scene_lengths', _is_range(self.scene_lengths, 1.0), 'two, from 1 s'),
      ('things_at_once', 1 <= self.things_at_once <= 4, '1 to 4'),
      ('clutter', 0 <= self.clutter <= 10, '0 to 10'),
      ('shift', self.shift >= 0, 'seconds, 0 or more'),
      ('speech_share', 0 <= self.speech_share <= 1, '0 to 1'),
      ('sound_share', 0 <= self.sound_share <= 1, '0 to 1'),
    )
    option_checks.check(self, key, conditions)

  def text(self, digest: str) -> str:
    """JSON of all settings and of the digest of the stamps, a line each."""
    values = {'schema': _SCHEMA, **dataclasses.asdict(self), 'stamps': digest}
    return json.dumps(values, indent=2) + '\n'


def make(language: str, options: Mapping[str, Any]) -> Settings:
  """Makes the settings of options, as of `config.prepare.narrated`.

  Raises:
    ConfigError: an option is unknown, or a value is not possible.
  """
  names = [field.name for field in dataclasses.fields(Settings)][1:]
  for name in options:
    if name not in names:
      raise ConfigError(
        f'prepare.narrated has an unknown key {name!r}. Choose one of '
        f'{", ".join(names)}.'
      )
  return Settings(language=language, **options)


def check_not_empty(names: Iterable[str], options: Mapping[str, Any]) -> None:
  """Checks that data sets of clips have videos in which somebody speaks.

  Args:
    names: 'narrated_videos/PART_LANGUAGE'.
    options: as of `config.prepare.narrated`.

  Raises:
    ConfigError: a data set has none; or see `make`.
  """
  for name in names:
    part, _, language = name.partition('/')[2].rpartition('_')
    chosen = make(language, options)
    keys = (_NUMBERS[part], 'speech_share') if part in _NUMBERS else ()
    for key in keys:
      value = getattr(chosen, key)
      if not (any(value) if isinstance(value, tuple) else value):
        raise ConfigError(
          f'prepare.narrated.{key} is {value}, so {name} has no clip. Expected '
          'more than 0. Set it, or leave the data set out of prepare.datasets.'
        )


def are_those_of(
  folder: pathlib.Path, settings: Settings, digest: str = ''
) -> bool:
  """Whether the complete videos or records in a folder have these settings.

  Args:
    folder: of the videos or records.
    settings: expected.
    digest: of the expected stamps; '': any.
  """
  path = folder / FILE
  if not path.is_file():
    return False
  text = path.read_text('utf-8')
  if not digest:
    try:
      digest = json.loads(text)['stamps']
    except (KeyError, TypeError, ValueError):
      return False
  return text == settings.text(digest)


def _are_counts(values: tuple[int, ...], least: int = 0) -> bool:
  return min(values) >= 0 and values[0] >= least


def _is_range(values: tuple[float, float], least: float) -> bool:
  return least <= values[0] <= values[1]
