"""Charts of reports: training loss, recall curves and intervals.

Each function returns the bytes of a PNG file, the same for the same input.
"""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import axes, figure

from avl_jax.reports.figures import COLOURS, DPI, png
from avl_jax.retrieval.result import RunResult
from avl_jax.retrieval.task import Task

Curve = tuple[Sequence[float], Sequence[float]]  # x, such as steps; y


def loss_curve(steps: Sequence[float], losses: Sequence[float]) -> bytes:
  """Draws the training loss over steps; non-finite values leave gaps."""
  canvas = figure.Figure(figsize=(8, 3), dpi=DPI, layout='constrained')
  plot = canvas.add_subplot(xlabel='step', ylabel='training loss')
  plot.plot(
    steps, losses, color=COLOURS[0], linewidth=1.2, marker=_marker(steps)
  )
  _style(plot)
  return png(canvas)


def recall_curves(
  panels: Mapping[str, Mapping[tuple[str, Task], Curve]],
  chance: Mapping[str, float],
  xlabel: str = 'step',
) -> bytes:
  """Draws R@10 over steps, one panel below the other per evaluation.

  Args:
    panels: for each evaluation the curves (steps, R@10 as a fraction) by
      (subset, task); subsets differ in colour, tasks in line style.
    chance: R@10 of random ranking by evaluation, where known; a dotted line.
    xlabel: label of the x axis.
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
        marker=_marker(steps),
        markersize=4,
        label=textwrap.shorten(f'{subset}, {task.label}', 40, placeholder='…'),
      )
    if evaluation in chance:
      level = 100 * chance[evaluation]
      plot.axhline(level, color='#555555', linestyle=':', label='chance')
    plot.set(title=evaluation, xlabel=xlabel, ylabel='R@10, %', ylim=(0, 102))
    plot.legend(
      loc='center left', bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8
    )
    _style(plot)
  return png(canvas)


def interval_chart(rows: Sequence[RunResult]) -> bytes:
  """Draws R@10 of each run with its interval, one panel per task and subset.

  All panels have one axis, from 0 to the next multiple of 10 % above all.
  """
  panels: dict[str, list[RunResult]] = {}
  for row in rows:
    title = f'{row.evaluation}, {row.subset}: {row.task.label}'
    panels.setdefault(title, []).append(row)
  height = 0.8 + 0.3 * max(map(len, panels.values()))
  lines = -(-len(panels) // 2)
  canvas = figure.Figure(
    figsize=(10, height * lines), dpi=DPI, layout='constrained'
  )
  plots = canvas.subplots(lines, 2, squeeze=False).flat
  ends = [(row.recall_at_10, row.high, row.chance_recall_at_10) for row in rows]
  limit = 10.2 * np.ceil(10 * max(0.1, np.nanmax(ends)))  # %, and a margin
  for plot in plots[len(panels) :]:
    plot.set_axis_off()
  for plot, (title, members) in zip(plots, panels.items(), strict=False):
    middle = 100 * np.array([row.recall_at_10 for row in members])
    ends = 100 * np.array([(row.low, row.high) for row in members]).T
    places = np.arange(len(members))
    # The mean may lie outside a percentile interval.
    reach = np.maximum([middle - ends[0], ends[1] - middle], 0)
    plot.errorbar(middle, places, xerr=reach, fmt='o', color=COLOURS[0])
    chance = 100 * members[0].chance_recall_at_10
    plot.axvline(chance, color='#555555', linestyle=':')
    plot.set_yticks(places, [row.run for row in members])
    plot.set(xlim=(0, limit), ylim=(len(members) - 0.5, -0.5))
    plot.set_title(title, fontsize=9)
    plot.set_xlabel('R@10, %', fontsize=8)
    _style(plot)
  return png(canvas)


def _marker(steps: Sequence[float]) -> str:
  """Dots on short curves only."""
  return 'o' if len(steps) < 30 else ''


def _style(plot: axes.Axes) -> None:
  plot.grid(color='#E6E6E6')
  plot.set_axisbelow(True)
  plot.spines[['top', 'right']].set_visible(False)
