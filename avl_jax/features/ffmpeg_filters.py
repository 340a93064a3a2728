"""Decoded frames to upright RGB pictures, by FFmpeg's filters."""

from collections.abc import Iterable, Iterator

import av
import av.filter
import numpy as np

from avl_jax.features import MediaError

_MOST_ELONGATED = 10  # longer side / shorter side
# The signs of a, b, c, d of a display matrix (x, y) -> (ax + cy, bx + dy).
_UPRIGHT = {
  (-1, 0, 0, -1): ('hflip', 'vflip'),
  (-1, 0, 0, 1): ('hflip',),
  (1, 0, 0, -1): ('vflip',),
  (0, 1, -1, 0): ('transpose=clock',),
  (0, -1, 1, 0): ('transpose=cclock',),
  (0, 1, 1, 0): ('transpose=cclock_flip',),
  (0, -1, -1, 0): ('transpose=clock_flip',),
}


def scale(
  name: str, shown: Iterable[av.VideoFrame], size: int, crop: bool
) -> Iterator[np.ndarray]:
  """Frames as arrays, upright and all of the size of the first one.

  Args:
    name: of the file, for messages.
    shown: decoded frames; the same one again where it is repeated.
    size: the shorter side, in pixels.
    crop: keep the middle [size, size] only.

  Yields:
    uint8 [H, W, 3], RGB.

  Raises:
    MediaError: frames are strips.
    av.FFmpegError: the filters cannot take a frame.
  """
  shape = layout = last = picture = None
  for frame in shown:
    if frame is last:
      yield picture
      continue
    last = frame
    filters = _upright(frame)
    found = (
      *(frame.width, frame.height, frame.format.name, filters),
      *(int(frame.colorspace), int(frame.color_range), frame.time_base),
    )
    if found != layout:
      turned = any(step.startswith('transpose') for step in filters)
      stored = (frame.width, frame.height)
      shape = shape or scaled_size(name, *stored[:: -1 if turned else 1], size)
      layout, graph = found, _graph(frame, filters, shape, size if crop else 0)
    graph.push(frame)
    picture = graph.pull().to_ndarray()
    yield picture


def scaled_size(
  name: str, width: int, height: int, size: int
) -> tuple[int, int]:
  """Width and height of the scaled frame; MediaError for a strip."""
  if max(width, height) > _MOST_ELONGATED * min(width, height):
    raise MediaError(
      f'{name}: frames of {width} x {height}, expected one side to be at most '
      f'{_MOST_ELONGATED} times the other'
    )
  if height >= width:
    return size, height * size // width
  return width * size // height, size


def _upright(frame: av.VideoFrame) -> tuple[str, ...]:
  """The filters that turn a frame as its display matrix says.

  Other angles than right ones are left as they are.
  """
  try:
    matrix = frame.side_data.get('DISPLAYMATRIX')
  except ValueError:  # There is data of a kind that av does not know.
    matrix = None
  if matrix is None:
    return ()
  a, b, _, c, d = np.sign(np.frombuffer(matrix, np.int32)[:5]).tolist()
  return _UPRIGHT.get((a, b, c, d), ())


def _graph(frame, filters, shape, crop: int) -> av.filter.Graph:
  """The filters of frames like this one, and those to RGB of this shape."""
  width, height = shape
  graph = av.filter.Graph()
  nodes = [
    graph.add(
      'buffer',
      video_size=f'{frame.width}x{frame.height}',
      pix_fmt=frame.format.name,
      time_base=str(frame.time_base),
      pixel_aspect='1/1',
      colorspace=str(int(frame.colorspace)),
      range=str(int(frame.color_range)),
    ),
    *(graph.add(*step.split('=')) for step in filters),
    graph.add('scale', f'{width}:{height}:flags=bicubic'),
  ]
  if crop:
    left, top = (width - crop) // 2, (height - crop) // 2
    nodes.append(graph.add('crop', f'{crop}:{crop}:{left}:{top}'))
  # Asked for at the end, RGB is what scaling gives, so that an odd offset of
  # the crop is exact.
  nodes += [graph.add('format', 'rgb24'), graph.add('buffersink')]
  graph.link_nodes(*nodes).configure()
  return graph
