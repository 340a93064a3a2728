"""Figures of a report: curves over training and rows of retrieval sheets.

Each function returns the bytes of a PNG file, the same for the same input.
"""

import bisect
import io
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import axes, figure, font_manager, lines
from matplotlib.backends import backend_agg

from avl_jax.features.media import Media

# Okabe and Ito's palette: distinct under every common colour blindness.
COLOURS = ('#0072B2', '#D55E00', '#E69F00', '#CC79A7', '#56B4E9', '#000000')
GREEN, GREY = '#009E73', '#C8C8C8'
DPI = 144
FONT = font_manager.FontProperties(family='DejaVu Sans', size=8)

# A sheet's measures in inches.
PITCH, CELL, PICTURE, LABEL, LINE = 1.72, 1.5, 1.2, 0.26, 0.145
MAX_LINES = 5

Curve = tuple[Sequence[int], Sequence[float]]


def loss_curve(steps: Sequence[int], losses: Sequence[float]) -> bytes:
  """Draws the training loss over steps; values not finite leave gaps."""
  canvas = figure.Figure(figsize=(8, 3), dpi=DPI, layout='constrained')
  plot = canvas.add_subplot(xlabel='step', ylabel='training loss')
  plot.plot(steps, losses, color=COLOURS[0], linewidth=1.2, marker=_dot(steps))
  _tidy(plot)
  return _png(canvas)


def recall_curves(
  panels: Mapping[str, Mapping[tuple[str, str], Curve]],
  chance: Mapping[str, float],
  xlabel: str = 'step',
) -> bytes:
  """Draws R@10 over steps, one panel below the other per evaluation.

  Args:
    panels: for each evaluation the curves (steps, R@10 as a fraction) by
      (subset, task); subsets differ in colour, tasks in line style.
    chance: R@10 of guessing, by evaluation, where known; a dotted line.
    xlabel: what the numbers along the curves are, if not steps.
  """
  canvas = figure.Figure(
    figsize=(8, 2.8 * len(panels)), dpi=DPI, layout='constrained'
  )
  plots = canvas.subplots(len(panels), squeeze=False)[:, 0]
  for plot, (evaluation, curves) in zip(plots, panels.items(), strict=True):
    subsets = list(dict.fromkeys(subset for subset, _ in curves))
    tasks = list(dict.fromkeys(task for _, task in curves))
    for (subset, task), (steps, recalls) in curves.items():
      plot.plot(
        steps,
        100 * np.asarray(recalls, float),
        color=COLOURS[subsets.index(subset) % len(COLOURS)],
        linestyle=('-', '--', '-.', ':')[tasks.index(task) % 4],
        marker=_dot(steps),
        markersize=4,
        label=textwrap.shorten(f'{subset}, {task}', 40, placeholder='…'),
      )
    if evaluation in chance:
      level = 100 * chance[evaluation]
      plot.axhline(level, color='#555555', linestyle=':', label='chance')
    plot.set(title=evaluation, xlabel=xlabel, ylabel='R@10, %', ylim=(0, 102))
    plot.legend(
      loc='center left', bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8
    )
    _tidy(plot)
  return _png(canvas)


def interval_chart(rows: Sequence[Mapping]) -> bytes:
  """Draws R@10 of several runs, a panel a task, each with its interval.

  Args:
    rows: with evaluation, task, subset, run, R@10, low, high, chance_R@10, the
      recalls as fractions.
  """
  panels = {}
  for row in rows:
    title = f'{row["evaluation"]}, {row["subset"]}: {row["task"]}'
    panels.setdefault(title.replace('->', '→'), []).append(row)
  height = 0.8 + 0.3 * max(map(len, panels.values()))
  lines_ = -(-len(panels) // 2)
  canvas = figure.Figure(
    figsize=(10, height * lines_), dpi=DPI, layout='constrained'
  )
  plots = canvas.subplots(lines_, 2, squeeze=False).flat
  for plot in plots[len(panels) :]:
    plot.set_axis_off()
  for plot, (title, members) in zip(plots, panels.items(), strict=False):
    middle = 100 * np.array([row['R@10'] for row in members])
    ends = 100 * np.array([(row['low'], row['high']) for row in members]).T
    places = np.arange(len(members))
    # A percentile interval need not hold the mean.
    reach = np.maximum([middle - ends[0], ends[1] - middle], 0)
    plot.errorbar(middle, places, xerr=reach, fmt='o', color=COLOURS[0])
    plot.axvline(
      100 * members[0]['chance_R@10'], color='#555555', linestyle=':'
    )
    plot.set_yticks(places, [row['run'] for row in members])
    plot.set(xlim=(0, 102), ylim=(len(members) - 0.5, -0.5))
    plot.set_title(title, fontsize=9)
    plot.set_xlabel('R@10, %', fontsize=8)
    _tidy(plot)
  return _png(canvas)


def sheet_row(
  query: Media,
  answers: Sequence[Media],
  expressions: tuple[str, str],
  labels: Sequence[str],
  right: Sequence[bool],
) -> bytes:
  """Draws a query and, to its right, the answers, the right one framed.

  After Figures 3-3 to 3-7 of the thesis. An embedding with video in it shows
  as the picture, one with audio or text shows its caption, text alone in the
  cell, and audio without video shows the waveform, stretched to the cell and to
  its own peak.

  Args:
    query: what was asked.
    answers: what was found, best first; a sixth stands apart.
    expressions: of embeddings, of query and answers, e.g. 'audio', 'video'.
    labels: what is written above each answer, e.g. '1'.
    right: whether an answer is the query's partner.
  """
  cells = [(query, expressions[0], 'query', False)]
  for item, label, is_right in zip(answers, labels, right, strict=True):
    cells.append((item, expressions[1], '✓ ' * is_right + label, is_right))
  captions = [_caption(item, expression) for item, expression, _, _ in cells]
  # What is text alone is written into its cell.
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
  for place, (item, expression, label, is_right) in enumerate(cells):
    left, middle = place + (1 - CELL / PITCH) / 2, place + 0.5
    box = (left * PITCH / width, below / height, CELL / width, PICTURE / height)
    _draw(canvas.add_axes(box), item, expression, is_right)
    text = canvas.text(middle / len(cells), 1 - 0.06 / height, label, **look)
    if is_right:
      text.set(color=GREEN, weight='bold')
    first = below - 0.07
    if expression == 'text':
      first = below + (PICTURE + LINE * len(captions[place])) / 2
    for number, line in enumerate(captions[place]):
      top = (first - number * LINE) / height
      canvas.text(middle / len(cells), top, line, **look)
  return _png(canvas)


def _draw(plot: axes.Axes, item: Media, expression: str, framed: bool) -> None:
  """Draws an item's picture or waveform; text is written by `sheet_row`."""
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
      f'{len(item.waveform) / 16000:.1f} s',
      transform=plot.transAxes,
      ha='right',
      fontproperties=FONT,
      color='#555555',
    )


def _envelope(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Lowest and highest of 200 spans of a waveform, the peak at one."""
  spans = np.array_split(waveform, 200)
  low = np.array([span.min(initial=0) for span in spans])
  high = np.array([span.max(initial=0) for span in spans])
  peak = max(high.max(), -low.min()) or 1
  return low / peak, high / peak


def _caption(item: Media, expression: str) -> list[str]:
  """Lines of an item's caption that fit a cell; '□' for foreign letters."""
  if 'audio' not in expression and 'text' not in expression:
    return []
  known = font_manager.get_font(font_manager.findfont(FONT)).get_charmap()
  rest = ' '.join(item.caption.split())[:1000]
  rest = ''.join(letter if ord(letter) in known else '□' for letter in rest)
  pen = backend_agg.FigureCanvasAgg(figure.Figure(dpi=DPI)).get_renderer()
  limit = CELL * (0.88 if expression == 'text' else 1)  # within the frame

  def width(text: str) -> float:
    return pen.get_text_width_height_descent(text, FONT, False)[0] / DPI

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


def _dot(steps: Sequence[int]) -> str:
  return 'o' if len(steps) < 30 else ''


def _tidy(plot: axes.Axes) -> None:
  plot.grid(color='#E6E6E6')
  plot.set_axisbelow(True)
  plot.spines[['top', 'right']].set_visible(False)


def _png(canvas: figure.Figure) -> bytes:
  # Without matplotlib's version, which would change the bytes.
  buffer = io.BytesIO()
  canvas.savefig(buffer, format='png', metadata={'Software': None})
  return buffer.getvalue()
