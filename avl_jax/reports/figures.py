"""Rows of retrieval sheets: a query and its best answers, as PNG files.

The bytes are the same for the same input.
"""

import bisect
import io
from collections.abc import Sequence

import numpy as np
from matplotlib import axes, figure, font_manager, lines
from matplotlib.backends import backend_agg

from avl_jax import features
from avl_jax.features.media import Media
from avl_jax.retrieval.task import Task

# Okabe and Ito's palette: distinct under every common colour blindness.
COLOURS = ('#0072B2', '#D55E00', '#E69F00', '#CC79A7', '#56B4E9', '#000000')
GREEN, GREY = '#009E73', '#C8C8C8'
DPI = 144
FONT = font_manager.FontProperties(family='DejaVu Sans', size=8)

# Sizes of a row in inches.
PITCH, CELL, PICTURE, LABEL, LINE = 1.72, 1.5, 1.2, 0.26, 0.145
MAX_LINES = 5


def sheet_row(
  query: Media,
  answers: Sequence[Media],
  task: Task,
  labels: Sequence[str],
  correct: Sequence[bool],
) -> bytes:
  """Draws a query and, right of it, its answers; frames the correct match.

  After Figures 3-3 to 3-7 of the thesis. Video in an expression shows the
  picture. Audio or text shows the caption: below the cell, or for text alone
  in the cell. Audio without video shows the waveform, scaled to the cell and to
  its own peak.

  Args:
    query: media of the query.
    answers: media of the answers, best first; a sixth is set apart by a line.
    task: expressions of query and answers.
    labels: text above each answer, e.g. '1'.
    correct: whether an answer is the query's correct match.
  """
  cells = [(query, task.query, 'query', False)]
  for item, label, is_correct in zip(answers, labels, correct, strict=True):
    cells.append((item, task.gallery, '✓ ' * is_correct + label, is_correct))
  captions = [_caption(item, expression) for item, expression, _, _ in cells]
  # A caption of text alone is written into its cell.
  lines_below = [
    len(caption) * (expression != 'text')
    for caption, (_, expression, _, _) in zip(captions, cells, strict=True)
  ]
  below = LINE * max(lines_below) + 0.1
  width, height = PITCH * len(cells), LABEL + PICTURE + below
  canvas = figure.Figure(figsize=(width, height), dpi=DPI)
  for apart in {1, 6} & set(range(len(cells))):
    x = apart / len(cells)
    canvas.add_artist(
      lines.Line2D((x, x), (0.05, 0.95), color=GREY, linewidth=0.8)
    )
  look = {'font': FONT, 'parse_math': False, 'ha': 'center', 'va': 'top'}
  for place, (item, expression, label, is_correct) in enumerate(cells):
    left, middle = place + (1 - CELL / PITCH) / 2, place + 0.5
    box = (left * PITCH / width, below / height, CELL / width, PICTURE / height)
    _draw(canvas.add_axes(box), item, expression, is_correct)
    text = canvas.text(middle / len(cells), 1 - 0.06 / height, label, **look)
    if is_correct:
      text.set(color=GREEN, weight='bold')
    first = below - 0.07
    if expression == 'text':
      first = below + (PICTURE + LINE * len(captions[place])) / 2
    for number, line in enumerate(captions[place]):
      top = (first - number * LINE) / height
      canvas.text(middle / len(cells), top, line, **look)
  return png(canvas)


def _draw(plot: axes.Axes, item: Media, expression: str, framed: bool) -> None:
  """Draws an item's picture or waveform; `sheet_row` writes its text."""
  plot.set(xticks=[], yticks=[])
  plot.spines[:].set(color=GREEN if framed else GREY)
  plot.spines[:].set(linewidth=4 if framed else 0.8)
  if 'video' in expression:
    plot.imshow(item.image, interpolation='antialiased')
  elif 'audio' in expression:
    low, high = _envelope(np.asarray(item.waveform, np.float32))
    plot.fill_between(
      np.arange(len(low)), low, high, color=COLOURS[0], linewidth=0.4
    )
    plot.set(xlim=(0, len(low) - 1), ylim=(-1.3, 1.1))
    plot.text(
      0.97,
      0.03,
      f'{len(item.waveform) / features.SAMPLE_RATE:.1f} s',
      transform=plot.transAxes,
      ha='right',
      fontproperties=FONT,
      color='#555555',
    )


def _envelope(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Minimum and maximum of 200 spans of a waveform, scaled to a peak of 1."""
  spans = np.array_split(waveform, 200)
  low = np.array([span.min(initial=0) for span in spans])
  high = np.array([span.max(initial=0) for span in spans])
  peak = max(high.max(), -low.min()) or 1
  return low / peak, high / peak


def _caption(item: Media, expression: str) -> list[str]:
  """Lines of a caption that fit a cell; '□' for letters the font lacks."""
  if 'audio' not in expression and 'text' not in expression:
    return []
  known = font_manager.get_font(font_manager.findfont(FONT)).get_charmap()
  rest = ' '.join(item.caption.split())[:1000]
  rest = ''.join(letter if ord(letter) in known else '□' for letter in rest)
  renderer = backend_agg.FigureCanvasAgg(figure.Figure(dpi=DPI)).get_renderer()
  limit = CELL * (0.88 if expression == 'text' else 1)  # within the frame

  def width(text: str) -> float:
    return renderer.get_text_width_height_descent(text, FONT, False)[0] / DPI

  fitted = []
  while rest and len(fitted) < MAX_LINES:
    sizes = range(1, len(rest) + 1)
    fits = bisect.bisect(sizes, limit, key=lambda size: width(rest[:size]))
    if fits < len(rest):
      space = rest.rfind(' ', 0, fits + 1)
      fits = space if space > 0 else max(fits, 1)
    fitted.append(rest[:fits])
    rest = rest[fits:].lstrip()
  if rest:
    while width(fitted[-1] + '…') > limit:
      fitted[-1] = fitted[-1][:-1]
    fitted[-1] += '…'
  return fitted


def png(canvas: figure.Figure) -> bytes:
  """PNG file of a figure."""
  # Without matplotlib's version, which would change the bytes.
  buffer = io.BytesIO()
  canvas.savefig(buffer, format='png', metadata={'Software': None})
  return buffer.getvalue()
