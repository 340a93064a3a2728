"""Learning curves: R@10 over the amount of training data."""

import collections
from collections.abc import Iterator, Mapping, Sequence

from avl_jax.errors import ConfigError
from avl_jax.reports import charts, page
from avl_jax.retrieval.result import RunResult

Lines = Mapping[str, Mapping[float, RunResult]]  # line -> amount -> result


def blocks(
  rows: Sequence[RunResult],
  curve: Sequence[tuple[str, str, float]],
  amount: str,
) -> Iterator[page.Block]:
  """A table for each evaluation, one row per line, and a figure.

  Args:
    rows: of `comparison.summarise`; each run of the curve has one task.
    curve: (run, line that it is on, amount of its data); if empty, there are no
      blocks.
    amount: unit of the amounts, e.g. 'captions'.

  Raises:
    ConfigError: a run of the curve is not among the rows, or has more than one
      task.
  """
  if not curve:
    return
  panels = _panels(rows, curve)
  yield page.Heading(2, f'R@10 over {amount}')
  for title, lines in panels.items():
    yield page.Heading(3, title)
    yield _table(lines, amount)
  yield page.Figure(
    page.File('curve.png', _figure(panels, amount)),
    f'R@10 over {amount}; the numbers are in the tables.',
    f'R@10 over {amount}; dotted: chance',
  )


def _panels(
  rows: Sequence[RunResult], curve: Sequence[tuple[str, str, float]]
) -> dict[str, Lines]:
  """The lines of each evaluation, by title."""
  of_run = collections.defaultdict(list)
  for row in rows:
    of_run[row.run].append(row)
  panels = collections.defaultdict(lambda: collections.defaultdict(dict))
  for run, line, number in curve:
    tasks = sorted({row.task.title for row in of_run[run]})
    if len(tasks) != 1:
      raise ConfigError(
        f'Cannot draw the curve of run {run!r}: it was evaluated on {tasks}. '
        'Choose a run with exactly one task in eval.tasks.'
      )
    for row in of_run[run]:
      title = f'{row.evaluation}, {row.subset} (of {row.gallery})'
      panels[title][line][number] = row
  return dict(panels)


def _table(lines: Lines, amount: str) -> page.Table:
  numbers = sorted({number for points in lines.values() for number in points})
  return page.Table(
    (f'R@10 by {amount}', *(f'{number:g}' for number in numbers)),
    [
      [line, *(recall(points.get(number)) for number in numbers)]
      for line, points in lines.items()
    ],
  )


def recall(row: RunResult | None) -> str:
  """R@10, or a dash where the run was not evaluated."""
  return page.percent(row.recall_at_10 if row else None)


def _figure(panels: Mapping[str, Lines], amount: str) -> bytes:
  chance, curves = {}, {}
  for title, lines in panels.items():
    curves[title] = {}
    for line, points in lines.items():
      numbers = sorted(points)
      recalls = [points[number].recall_at_10 for number in numbers]
      first = points[numbers[0]]
      # Each line has a task of its own, so its own colour and style.
      curves[title][line, first.task] = numbers, recalls
      chance[title] = first.chance_recall_at_10
  return charts.recall_curves(curves, chance, amount)
