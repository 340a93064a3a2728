"""Chooses clips of speech of videos that nobody has transcribed.

As YouCook-Japanese was made (section 5.3.1 of the thesis): each clip is a
stretch of speech of 5 to 50 s; 10,000 random ones are for training, 3,000 for
validation and 3,000 for evaluation, and a video is in one of the three only.

The videos are divided in the ratio of these numbers, by their content, see
`splits`: what is held out does not depend on the seed. Each clip has a random
number, a function of the seed, its video's content and its start. Of a split
that has too many clips, those of the least numbers are used; of one that has
fewer, all. So the choice is a function of the list and the seed.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

from avl_jax import logs
from avl_jax.features import Status, speech_segments
from avl_jax.features.speech_segments import Span
from input_pipeline.datasets import option_checks
from input_pipeline.datasets.own_videos import splits, tables
from input_pipeline.datasets.own_videos.tables import Line


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
  """What clips are chosen, as of `config.prepare.speech`.

  Attributes:
    seed: of the draw.
    clips: of train, val and test, at most.
    lengths: least and greatest seconds of a clip.
    pause: seconds without speech that a clip may contain, at most; see
      `speech_segments.segments`.
  """

  seed: int = 1
  clips: tuple[int, int, int] = (10_000, 3_000, 3_000)
  lengths: tuple[float, float] = (5.0, 50.0)
  pause: float = 1.0

  def __post_init__(self):
    """Checks the values, and converts them to the types of their fields.

    Raises:
      ConfigError: a value is not possible.
    """
    key = 'prepare.speech'
    option_checks.convert(self, key)
    shortest, longest = self.lengths
    conditions = (
      ('clips', min(self.clips) > 0, 'three numbers, 1 or more'),
      ('lengths', 1 <= shortest <= longest, 'two, from 1 s upwards'),
      ('pause', self.pause >= 0, 'seconds, 0 or more'),
    )
    option_checks.check(self, key, conditions)

  @property
  def held_out(self) -> tuple[tuple[str, float], ...]:
    """Upper ends of the splits' numbers, see `splits.divide`."""
    _, val, test = (count / sum(self.clips) for count in self.clips)
    return ('test', test), ('val', test + val)


def cut(
  lines: Sequence[Line], speech: Mapping[str, Sequence[Span]], choice: Choice
) -> dict[str, list[Span]]:
  """Cuts the speech of videos; sets aside what has no clip.

  Args:
    lines: of whole videos.
    speech: digest -> stretches of speech.
    choice: what makes a clip.

  Returns:
    Digest of a usable line -> its clips.
  """
  shortest, longest = choice.lengths
  found = {}
  for line in tables.usable(lines):
    clips = speech_segments.segments(
      speech[line.digest],
      shortest=shortest,
      longest=longest,
      pause=choice.pause,
    )
    if clips:
      found[line.digest] = clips
    else:
      line.set_aside(
        Status.TOO_SHORT,
        f'It has no stretch of speech of {shortest:g} to {longest:g} s.',
      )
  return found


def choose(
  title: str,
  lines: Sequence[Line],
  clips: Mapping[str, Sequence[Span]],
  choice: Choice,
) -> list[Line]:
  """Chooses clips; prints how many there were.

  Args:
    title: of the data set.
    lines: of whole videos; the usable ones have their splits.
    clips: digest of a usable line -> its clips.
    choice: how many of which.

  Returns:
    The lines that cannot be used, and a line for each chosen clip, in the
    order of the list.
  """
  limits = dict(zip(splits.NAMES, choice.clips, strict=True))
  chosen: set[tuple[str, Span]] = set()
  for split, limit in limits.items():
    of_split = {
      (line.digest, clip)
      for line in tables.usable(lines)
      if line.split == split
      for clip in clips[line.digest]
    }
    chosen |= set(sorted(of_split, key=_number(choice.seed))[:limit])
  found = []
  for line in lines:
    if line.status != Status.OK:
      found.append(line)
      continue
    for clip in clips[line.digest]:
      if (line.digest, clip) in chosen:
        found.append(_of_clip(line, clip))
  _tell(title, clips, chosen)
  return found


def _number(seed: int):
  """The function that gives (digest, clip) its random number."""

  def number(clip: tuple[str, Span]) -> bytes:
    digest, (start, _) = clip
    return hashlib.sha256(f'{seed} {digest} {start:.3f}'.encode()).digest()

  return number


def _of_clip(line: Line, clip: Span) -> Line:
  """The line of a clip of a video. What is said in it is not known."""
  item = dataclasses.replace(
    line.item,
    id=f'{line.item.id}@{clip.start:.2f}',
    start=clip.start,
    end=clip.end,
    caption='',
    split=line.split,
  )
  return dataclasses.replace(line, item=item, split='')


def _tell(
  title: str,
  clips: Mapping[str, Sequence[Span]],
  chosen: set[tuple[str, Span]],
) -> None:
  found = [clip for of_video in clips.values() for clip in of_video]
  hours = sum(clip.end - clip.start for _, clip in chosen) / 3600
  videos = len({digest for digest, _ in chosen})
  logs.write(
    f'{title}: {len(found):,} clips of speech in {len(clips):,} videos. Chose '
    f'{len(chosen):,} of {videos:,} videos, {hours:.2f} hours.'
  )
