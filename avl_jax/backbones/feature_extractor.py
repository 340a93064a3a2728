"""Visual features of video files, equal to those of the authors' extractor.

The extractor is `extract.py` of `video_feature_extractor`: 2-D features of one
frame per second, 3-D features of clips of 16 frames at 24 frames per second.
"""

import collections
import fractions
import functools
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import av
import jax
import numpy as np

from avl_jax.backbones import efficientnet, resnet, resnext3d
from avl_jax.backbones.compilation import compile_network
from avl_jax.features import images as image_files
from avl_jax.features import video
from avl_jax.features.ffmpeg import filters

STAND_IN = 'efficientnet_lite0'
OUTPUTS = (('pooled',), ('pooled', 'grid'))
IMAGE_RATE, IMAGE_SIZE = 1, 224  # frames per second; shorter side in pixels
CLIP_RATE = 24  # frames per second
_CLIP_LENGTH, _CLIP_SIZE = resnext3d.CLIP[:2]
_IMAGES, _CLIPS = 8, 4  # batch sizes; smaller ones are no faster anywhere

# (fps, size, crop, start, end) -> frames of a video, see `video.frames`
Frames = Callable[[float, int, bool, float, float | None], Iterator[np.ndarray]]


class Extractor:
  """Maps a video file to 2-D features and, with a second network, 3-D ones.

  All batches have the same number of images or clips, so a network is compiled
  once per frame size, at the first video of that size.

  Several threads may use it, each for a video. One batch at a time goes through
  the networks. A batch has frames of one video only: whether a row keeps its
  bits at another place of a batch is the compiler's choice, and a video's
  features must not depend on what else is extracted.

  Attributes:
    seconds: that 'decoding', 'visual_2d' and 'visual_3d' have taken, of all
      threads, and their 'waiting' for each other.

  Example:
    extract = Extractor(resnet152='efficientnet_lite0')
    features = extract('video.mp4')['visual_2d']  # float16 [seconds, 1280]
  """

  def __init__(
    self,
    *,
    resnet152: str,
    resnext101: str = '',
    outputs: Sequence[str] = ('pooled',),
  ):
    """Reads the weights.

    Args:
      resnet152: weight file of torchvision's ResNet-152, such as
        `resnet152-b121ed2d.pth`, IMAGENET1K_V1; or 'efficientnet_lite0' for
        the packaged stand-in, which gets whole frames on white squares.
      resnext101: the weight file `resnext101.pth`; '': no 3-D features.
      outputs: of the networks that are kept; ('pooled', 'grid'): the maps
        before the average over time, height and width, too.

    Raises:
      ReleaseError: a file is missing or not of its network.
      FileNotFoundError: the package of the stand-in is not installed.
    """
    if tuple(outputs) not in OUTPUTS:
      raise ValueError(f'The outputs are {outputs}. Choose one of {OUTPUTS}.')
    self._has_grid = 'grid' in outputs
    self._is_stand_in = resnet152 == STAND_IN
    self.seconds: dict[str, float] = collections.defaultdict(float)
    self._turn = threading.Lock()  # to use the networks
    self._adding = threading.Lock()  # to `seconds`
    self._widths = {
      'visual_2d': efficientnet.WIDTH if self._is_stand_in else resnet.WIDTH
    }
    self._of_images = (
      efficientnet.backbone(self._has_grid)
      if self._is_stand_in
      else compile_network(resnet152, *resnet.load(resnet152), self._has_grid)
    )
    self._of_clips = None
    if resnext101:
      self._widths['visual_3d'] = resnext3d.WIDTH
      loaded = resnext3d.load(resnext101)
      self._of_clips = compile_network(resnext101, *loaded, self._has_grid)

  @property
  def widths(self) -> dict[str, int]:
    """Width of each stream, in the order of concatenation."""
    return dict(self._widths)

  def __call__(
    self,
    path: str | os.PathLike,
    start: float = 0.0,
    end: float | None = None,
    frames: Frames | None = None,
  ) -> dict[str, np.ndarray]:
    """Extracts features of a video or a part of it.

    Args:
      path: see `video.frames`.
      start: start of the part, in seconds.
      end: end of the part, in seconds; None: end of the video.
      frames: decodes the video, once per stream, one after the other; None:
        `video.frames` in this process, for a file that is trusted.

    Returns:
      'visual_2d' float16 [S, 2048] (1280 with the stand-in), S being the
      rounded number of seconds, possibly 0; with a 3-D network also 'visual_3d'
      float16 [S', 2048], 1.5 rows per second, the last clip padded with black
      frames. Rows have length 1. With the output 'grid' also 'visual_2d_grid'
      and 'visual_3d_grid', float16 [S, ..., 2048], not normalised. A video of
      one frame has a row; the authors' extractor writes nothing for it.

    Raises:
      MediaError: the file is not a video that can be read to its end.
    """
    frames = frames or functools.partial(video.frames, path)
    images = frames(IMAGE_RATE, IMAGE_SIZE, False, start, end)
    if self._is_stand_in:
      images = map(image_files.fit_square, images)
    streams = {'visual_2d': (images, self._of_images, _IMAGES)}
    if self._of_clips:
      small = frames(CLIP_RATE, _CLIP_SIZE, True, start, end)
      streams['visual_3d'] = (clips(small), self._of_clips, _CLIPS)
    found = {}
    for name, (items, backbone, size) in streams.items():
      began, grids = time.perf_counter(), []
      spent: dict[str, float] = collections.defaultdict(float)
      pooled = self._pooled(backbone, grids, spent)
      timed = _timed(items, spent)
      found[name] = _rows(timed, pooled, size, self._widths[name])
      if grids:  # The last batch is filled up.
        found[f'{name}_grid'] = np.concatenate(grids)[: len(found[name])]
      spent[name] = time.perf_counter() - began - sum(spent.values())
      with self._adding:
        for part, seconds in spent.items():
          self.seconds[part] += seconds
    return found

  def _pooled(
    self, backbone: Callable, grids: list[np.ndarray], spent: dict[str, float]
  ) -> Callable:
    """The pooled output of a network, when it is this thread's turn.

    Args:
      backbone: the network.
      grids: get the grids, if any.
      spent: gets the seconds of 'waiting' for the turn.
    """

    def pooled(batch: np.ndarray) -> np.ndarray:
      began = time.perf_counter()
      with self._turn:
        spent['waiting'] += time.perf_counter() - began
        outputs = jax.device_get(backbone(batch))
      if not self._has_grid:
        return outputs
      rows, grid = outputs
      grids.append(np.asarray(grid, np.float16))
      return rows

    return pooled

  def image_features(self, images: Iterable[np.ndarray]) -> np.ndarray:
    """2-D features of images.

    Args:
      images: n arrays uint8 [H, W, 3], RGB, of any sizes, n at least 1.

    Returns:
      float32 [n, 2048] (1280 with the stand-in), not normalised.

    Raises:
      RefusedError: one side of an image is more than ten times the other.
    """
    pooled = self._pooled(self._of_images, [], {'waiting': 0.0})
    if self._is_stand_in:
      squares = map(image_files.fit_square, images)
      return image_files.extract(squares, pooled, _IMAGES)
    rows = [
      image_files.extract([_as_frame(image)], pooled, 1) for image in images
    ]
    return np.concatenate(rows)


def _timed(
  items: Iterator[np.ndarray], spent: dict[str, float]
) -> Iterator[np.ndarray]:
  """Yields the items; adds the time that they take to 'decoding'."""
  while True:
    began = time.perf_counter()
    item = next(items, None)
    spent['decoding'] += time.perf_counter() - began
    if item is None:
      return
    yield item


def _as_frame(image: np.ndarray) -> np.ndarray:
  """An image scaled as `video.frames` scales the frames of a video."""
  frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), 'rgb24')
  frame.time_base = fractions.Fraction(1)
  (scaled,) = filters.scale('The image', [frame], IMAGE_SIZE, False)
  return scaled


def clips(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
  """Groups frames into clips of 16; the last is padded with black frames.

  Args:
    frames: uint8 [112, 112, 3] each.

  Yields:
    uint8 [16, 112, 112, 3].
  """
  frames = iter(frames)
  while some := list(itertools.islice(frames, _CLIP_LENGTH)):
    clip = np.zeros(resnext3d.CLIP, np.uint8)
    clip[: len(some)] = some
    yield clip


def _rows(
  items: Iterator[np.ndarray], backbone: Callable, batch_size: int, width: int
) -> np.ndarray:
  """Extracts features float16 [S, width], rows of length 1; S may be 0."""
  first = next(items, None)
  if first is None:
    return np.zeros((0, width), np.float16)
  items = itertools.chain([first], items)
  rows = image_files.extract(items, backbone, batch_size)
  return image_files.normalise(rows).astype(np.float16)
