"""Turns decoded frames into upright RGB pictures with FFmpeg's filters."""

from collections.abc import Iterable, Iterator

import av
import av.filter
import numpy as np

from avl_jax.features import RefusedError

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
  """Scales frames; all results are upright and as large as the first one.

  Args:
    name: of the file, for messages.
    shown: decoded frames; a repeated frame is the same object again.
    size: the shorter side, in pixels.
    crop: keep only the centre [size, size].

  Yields:
    uint8 [H, W, 3], RGB.

  Raises:
    RefusedError: the frames are strips (see `scaled_size`).
    av.FFmpegError: the filters do not support a frame.
  """
  shape = layout = last = None
  picture, graph = np.zeros(0, np.uint8), av.filter.Graph()
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
      width, height = frame.width, frame.height
      if any(step.startswith('transpose') for step in filters):
        width, height = height, width
      shape = shape or scaled_size(name, width, height, size)
      layout, graph = found, _graph(frame, filters, shape, size if crop else 0)
    graph.push(frame)
    picture = _pull(graph)
    yield picture


def scaled_size(
  name: str, width: int, height: int, size: int
) -> tuple[int, int]:
  """Width and height of the scaled frame; RefusedError for a strip."""
  if max(width, height) > _MOST_ELONGATED * min(width, height):
    raise RefusedError(
      f'{name}: The frames are {width} x {height} pixels. Expected one side to '
      f'be at most {_MOST_ELONGATED} times the other.'
    )
  if height >= width:
    return size, height * size // width
  return width * size // height, size


def _upright(frame: av.VideoFrame) -> tuple[str, ...]:
  """Filters that rotate or flip a frame according to its display matrix.

  Angles that are not multiples of 90 degrees are ignored.
  """
  try:
    matrix = frame.side_data.get('DISPLAYMATRIX')
  except ValueError:  # The frame has side data of a kind unknown to av.
    matrix = None
  if matrix is None:
    return ()
  # av's stubs do not say that side data has the buffer interface.
  # pyrefly: ignore[no-matching-overload]
  values = np.frombuffer(matrix, np.int32)
  a, b, _, c, d = np.sign(values[:5]).tolist()
  return _UPRIGHT.get((a, b, c, d), ())


def _graph(
  frame: av.VideoFrame,
  filters: tuple[str, ...],
  shape: tuple[int, int],
  crop: int,
) -> av.filter.Graph:
  """Filter graph from frames like this one to RGB of this (width, height)."""
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
  # With the format at the end, scaling already produces RGB, so that an odd
  # offset of the crop is exact.
  nodes += [graph.add('format', 'rgb24'), graph.add('buffersink')]
  graph.link_nodes(*nodes).configure()
  return graph


def _pull(graph: av.filter.Graph) -> np.ndarray:
  """The next picture of the graph, uint8 [H, W, 3]."""
  frame = graph.pull()
  assert isinstance(frame, av.VideoFrame)
  return frame.to_ndarray()
