"""R@10 over the amount of data that runs were trained on: learning curves."""

import collections
from collections.abc import Iterator, Mapping, Sequence

from avl_jax.errors import ConfigError
from avl_jax.reports import figures, page


def blocks(
  rows: Sequence[Mapping],
  curve: Sequence[tuple[str, str, float]],
  amount: str,
) -> Iterator[page.Block]:
  """A table for each evaluation, line by amount, and a figure.

  Args:
    rows: of `comparison.summarise`, each run asked one task alone.
    curve: (run, line that it is on, amount of its data); nothing is shown of
      an empty one.
    amount: what the amounts count.

  Raises:
    ConfigError: a run of the curve is not among the rows, or was asked more
      than one task.
  """
  if not curve:
    return
  panels = collections.defaultdict(lambda: collections.defaultdict(dict))
  asked = collections.defaultdict(list)
  for row in rows:
    asked[row['run']].append(row)
  for run, line, number in curve:
    tasks = {row['task'] for row in asked[run]}
    if len(tasks) != 1:
      raise ConfigError(
        f'the curve takes R@10 of {run!r}, which was asked {sorted(tasks)}: '
        'name a run of the comparison with one task in its eval.tasks'
      )
    for row in asked[run]:
      title = f'{row["evaluation"]}, {row["subset"]} (of {row["gallery"]})'
      panels[title][line][number] = row
  yield page.Heading(2, f'R@10 over {amount}')
  for title, lines in panels.items():
    yield page.Heading(3, title)
    yield _table(lines, amount)
  yield page.Figure(
    page.File('curve.png', _figure(panels, amount)),
    f'R@10 over {amount}; the numbers are in the tables.',
    f'R@10 over {amount}; dotted: chance',
  )


def _table(lines: Mapping[str, Mapping], amount: str) -> page.Table:
  numbers = sorted({number for points in lines.values() for number in points})
  return page.Table(
    (f'R@10 by {amount}', *(f'{number:g}' for number in numbers)),
    [
      [line, *(_recall(points.get(number)) for number in numbers)]
      for line, points in lines.items()
    ],
  )


def _recall(row: Mapping | None) -> str:
  return f'{100 * row["R@10"]:.1f} %' if row else '–'


def _figure(panels: Mapping[str, Mapping], amount: str) -> bytes:
  chance, curves = {}, {}
  for title, lines in panels.items():
    curves[title] = {}
    for line, points in lines.items():
      numbers = sorted(points)
      recalls = [points[number]['R@10'] for number in numbers]
      # Each line is a task of its own, and so are its colour and its style.
      curves[title][line, points[numbers[0]]['task']] = numbers, recalls
      chance[title] = points[numbers[0]]['chance_R@10']
  return figures.recall_curves(curves, chance, amount)
