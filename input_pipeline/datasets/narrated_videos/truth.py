"""The truth about a video, as JSON: what is shown and said at each time.

Keys of a line of the table `truth.jsonl`, and of VIDEO.json beside VIDEO.mp4:

  id, part, split, language, voice, seconds; width and height of the screen
  scenes    start, end, background
  showings  from back to front: thing, caption, clutter (whether it is small and
            never named), scene, start, end, and `seconds`: [k, left, top,
            right, bottom, opacity] at k + 1/2 seconds, which is the picture
            that feature k of one a second is made of
  namings   thing, caption, scene, start, end, and `shown`: the share of this
            time for which the thing is on the screen
  sounds    natural sounds: thing, scene, start, end
  speech    [start, end] of each stretch in which anybody speaks

A thing is the stamp's path below the stamps' folder, without suffix; a scene is
an index. Boxes are in pixels and may leave the screen.
"""

import math
from collections.abc import Mapping
from typing import Any

from input_pipeline.datasets.narrated_videos import pictures
from input_pipeline.datasets.narrated_videos.pictures import Stage
from input_pipeline.datasets.narrated_videos.scripts import (
  HEIGHT,
  WIDTH,
  Script,
  Showing,
  Sound,
)

TABLE = 'truth.jsonl'  # beside the records
Truth = Mapping[str, Any]


def of_video(script: Script, stage: Stage) -> dict[str, Any]:
  """Returns the truth about a video; see the module."""
  cast = script.cast
  namings = [
    _heard(naming)
    | {
      'caption': script.caption(naming.thing),
      'shown': _shown(script, naming),
    }
    for naming in script.namings
  ]
  return {
    'id': cast.id,
    'part': cast.part,
    'split': cast.split,
    'language': cast.language,
    'voice': cast.source,
    'seconds': cast.seconds,
    'width': WIDTH,
    'height': HEIGHT,
    'scenes': [
      {'start': scene.start, 'end': scene.end, 'background': kind}
      for scene, kind in zip(cast.scenes, stage.kinds, strict=True)
    ],
    'showings': [_showing(script, showing) for showing in script.showings],
    'namings': namings,
    'sounds': [_heard(sound) for sound in script.sounds],
    'speech': [[naming['start'], naming['end']] for naming in namings],
  }


def _showing(script: Script, showing: Showing) -> dict[str, Any]:
  return {
    'thing': showing.thing.name,
    'caption': script.caption(showing.thing),
    'clutter': showing.is_clutter,
    'scene': showing.scene,
    'start': showing.start,
    'end': showing.end,
    'seconds': [
      [second, *found[0], round(found[1], 3)]
      for second in range(int(showing.start), math.ceil(showing.end))
      if (found := pictures.box(showing, second + 0.5))
    ],
  }


def _heard(sound: Sound) -> dict[str, Any]:
  return {
    'thing': sound.thing.name,
    'scene': sound.scene,
    'start': round(sound.start, 3),
    'end': round(sound.end, 3),
  }


def _shown(script: Script, naming: Sound) -> float:
  """Share of a naming for which one of the thing's showings is visible."""
  overlaps = [
    min(showing.end, naming.end) - max(showing.start, naming.start)
    for showing in script.showings
    if showing.thing.name == naming.thing.name and not showing.is_clutter
  ]
  share = max([0.0, *overlaps]) / (naming.end - naming.start)
  return round(min(1.0, share), 3)
