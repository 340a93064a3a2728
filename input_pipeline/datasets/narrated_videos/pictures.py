"""Draws the pictures of a video after its script."""

import functools
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from input_pipeline.datasets.narrated_videos import backgrounds, casting
from input_pipeline.datasets.narrated_videos.scripts import (
  HEIGHT,
  WIDTH,
  Script,
  Showing,
)
from input_pipeline.datasets.narrated_videos.settings import Settings

FRAME_RATE = 10  # pictures a second
Box = tuple[int, int, int, int]  # left, top, right, bottom; pixels


class Stage:
  """The pictures of a video.

  Attributes:
    kinds: of the background of each scene.
  """

  def __init__(self, settings: Settings, script: Script):
    """Draws the backgrounds."""
    rng = casting.generator(settings, script.cast.id, 'pictures')
    self._script, self._backgrounds = script, []
    self.kinds: list[str] = []
    for _ in script.cast.scenes:
      kind, image = backgrounds.draw(rng, HEIGHT, WIDTH)
      self.kinds.append(kind)
      self._backgrounds.append(
        (image, rng.integers(backgrounds.MARGIN, size=4))
      )

  def frames(self) -> Iterator[Image.Image]:
    """Yields all pictures, RGB."""
    scene = 0
    scenes = self._script.cast.scenes
    for index in range(round(self._script.cast.seconds * FRAME_RATE)):
      time = index / FRAME_RATE
      if time >= scenes[scene].end:
        scene += 1
      yield self._frame(scene, time)

  def _frame(self, index: int, time: float) -> Image.Image:
    scene = self._script.cast.scenes[index]
    image, (left, top, right, bottom) = self._backgrounds[index]
    share = (time - scene.start) / (scene.end - scene.start)
    x = round(left + share * (right - left))  # The camera pans.
    y = round(top + share * (bottom - top))
    frame = image.crop((x, y, x + WIDTH, y + HEIGHT))
    for showing in self._script.showings:
      found = box(showing, time)
      if found:
        _paste(frame, showing, *found)
    return frame


def box(showing: Showing, time: float) -> tuple[Box, float] | None:
  """Box of a thing, which may leave the screen, and its opacity, 0 to 1.

  None: it is not shown at this time, in seconds.
  """
  place = showing.at(time)
  if place is None:
    return None
  (x, y, side), opacity = place
  size = np.array(picture(showing.thing.picture).size)
  width, height = np.maximum(1, np.rint(side * size / size.max())).astype(int)
  left, top = round(x - width / 2), round(y - height / 2)
  return (left, top, int(left + width), int(top + height)), opacity


@functools.lru_cache(1024)
def picture(path: pathlib.Path) -> Image.Image:
  """A stamp without its transparent margin, RGBA, 200 pixels or less."""
  with Image.open(path) as file:
    image = file.convert('RGBA')
  image = image.crop(image.getchannel('A').getbbox() or None)
  image.thumbnail((200, 200), Image.Resampling.BICUBIC)
  return image


def _paste(
  frame: Image.Image, showing: Showing, place: Box, opacity: float
) -> None:
  left, top, right, bottom = place
  image = picture(showing.thing.picture).resize(
    (right - left, bottom - top), Image.Resampling.BILINEAR
  )
  mask = image.getchannel('A')
  if opacity < 1:
    mask = mask.point([round(opacity * value) for value in range(256)])
  frame.paste(image, (left, top), mask)
