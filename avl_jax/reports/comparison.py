"""Runs side by side: one table over models, seeds and data sets.

The thesis' tables compare runs that differ in little: trained on the target
alone, zero-shot, fine-tuned (Table 3.2); in one language or in several
(Table 5.1). Here a config names its runs as changes of itself.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import ml_collections
import numpy as np

from avl_jax.errors import ConfigError
from avl_jax.features.media import Media
from avl_jax.files import write_atomically
from avl_jax.reports import figures, page, retrieval_report
from avl_jax.reports import learning_curves as learning
from avl_jax.retrieval import metrics

if TYPE_CHECKING:
  from avl_jax.retrieval.evaluation import Retrieval

Side = tuple[str, 'Retrieval']  # a run's name and one of its results
HEADER = (
  *('Evaluation', 'Task', 'Subset', 'Run', 'Seeds', 'R@1', 'R@5', 'R@10'),
  *('95 % interval', 'Median rank', 'Gallery', 'R@10 by chance'),
)
GROUPS = (  # title, whether the right one is in the top five before, after
  ('In the top five only after', False, True),
  ('In the top five only before', True, False),
  ('In the top five both times', True, True),
  ('Never in the top five', False, False),
)


def expand(
  config: ml_collections.ConfigDict,
) -> Iterator[tuple[str, int, ml_collections.ConfigDict]]:
  """The runs of a comparison, each a whole config of its own.

  Args:
    config: with `comparison.runs`, (name, the keys in which it differs), and
      `comparison.seeds`. A run of no steps is the model in its
      `initial_workdir`, whatever the seed, so it comes once.

  Yields:
    (name, seed, config) of each run.

  Raises:
    ConfigError: there are no runs, or one changes a key that does not exist,
      or `comparison.side_by_side` names none of them.
  """
  if not config.comparison.runs:
    raise ConfigError(
      'this config compares nothing: its comparison.runs is empty; take one '
      'that names runs, as configs/finetune.py:stamps_fr does'
    )
  names = [name for name, _ in config.comparison.runs]
  for name in config.comparison.side_by_side:
    if name not in names:
      raise ConfigError(
        f'comparison.side_by_side names {name!r}; the runs are '
        f'{", ".join(names)}'
      )
  for name, changes in config.comparison.runs:
    for seed in config.comparison.seeds:
      run = config.copy_and_resolve_references().lock()
      try:
        run.update(changes)
      except (KeyError, TypeError) as error:
        reason = str(error).split(' Other fields')[0].strip('\'"')
        raise ConfigError(f'comparison.runs, {name!r}: {reason}') from error
      run.seed = seed
      run.comparison.runs = ()
      yield name, seed, run
      if not run.num_steps:
        break


def summarise(results: Mapping[str, Sequence[Sequence[Retrieval]]]) -> list:
  """A row for each evaluation, task, subset and run: means over the seeds.

  Args:
    results: run -> for each of its seeds the same retrievals in one order.

  Returns:
    Dicts with evaluation, task, subset, run, seeds, gallery, queries, R@1, R@5,
    R@10, low and high (of the interval of R@10), median_rank and chance_R@10.
  """
  rows = []
  for run, seeds in results.items():
    for retrievals in zip(*seeds, strict=True):
      for same in zip(*(r.rows for r in retrievals), strict=True):
        means = {
          key: float(np.mean([row[key] for row in same]))
          for key in ('R@1', 'R@5', 'R@10', 'median_rank')
        }
        hits = np.stack([_hits(r, same[0]) for r in retrievals])
        low, high = metrics.interval(hits)
        rows.append(
          dict(same[0])
          | means
          | {'run': run, 'seeds': len(seeds)}
          | {'low': low, 'high': high}
        )
  order = list(dict.fromkeys(_task(row) for row in rows))
  return sorted(rows, key=lambda row: order.index(_task(row)))


def _task(row: Mapping) -> tuple:
  return row['evaluation'], row['task'], row['subset']


def _hits(retrieval: Retrieval, row: Mapping) -> np.ndarray:
  """Whether each query of a row found its right one among the first ten."""
  chosen = retrieval.subsets == row['subset']
  ranks = retrieval.ranks[chosen] if chosen.any() else retrieval.ranks
  hits = np.zeros(row['queries'], bool)  # those without media miss
  hits[: len(ranks)] = ranks < 10
  return hits


def tables(rows: Sequence[Mapping]) -> list[page.Block]:
  """All rows, and R@10 alone with a line a run and a column a task."""
  tasks = list(dict.fromkeys(_task(row) for row in rows))
  runs = list(dict.fromkeys(row['run'] for row in rows))
  cells = {(row['run'], _task(row)): row for row in rows}
  first = {_task(row): row for row in reversed(rows)}
  header = ['R@10 of', *(_title(first[task]) for task in tasks)]
  lines = [
    [run, *(_recall(cells.get((run, task))) for task in tasks)] for run in runs
  ]
  chance = [_percent(first[task]['chance_R@10']) for task in tasks]
  return [
    page.Table(header, [*lines, ['chance', *chance]]),
    page.Table(HEADER, [_cells(row) for row in rows]),
  ]


def _title(row: Mapping) -> str:
  arrow = row['task'].replace('->', '→')
  return f'{row["evaluation"]}, {row["subset"]}, {arrow} (of {row["gallery"]})'


def _cells(row: Mapping) -> list[str]:
  return [
    row['evaluation'],
    row['task'].replace('->', '→'),
    *(row['subset'], row['run'], str(row['seeds'])),
    *(_percent(row[key]) for key in ('R@1', 'R@5', 'R@10')),
    f'{_percent(row["low"])} to {_percent(row["high"])}',
    f'{row["median_rank"]:.1f}',
    *(str(row['gallery']), _percent(row['chance_R@10'])),
  ]


def _recall(row: Mapping | None) -> str:
  """R@10, or a dash where a run was not asked that."""
  return _percent(row['R@10']) if row else '–'


def _percent(share: float) -> str:
  return f'{100 * share:.1f} %'


def write(
  directory: str | os.PathLike,
  results: Mapping[str, Sequence[Sequence[Retrieval]]],
  items: Mapping[str, Sequence[Media]],
  *,
  side_by_side: Sequence[str],
  curve: Sequence[tuple[str, str, float]] = (),
  amount: str = '',
) -> None:
  """Prints the tables; writes report.md, report.html and comparison.json.

  Args:
    directory: of the report, made if absent.
    results: see `summarise`.
    items: what the sheets show, by evaluation, in the order of the ids.
    side_by_side: two runs, before and after: the same queries are shown with
      the answers of both (their first seed), after the thesis' Figure 5-2; ()
      shows none.
    curve: (run, line, amount of its data): R@10 is drawn over the amounts, see
      `curve.blocks`.
    amount: what the amounts count.
  """
  rows = summarise(results)
  shown = tables(rows)
  for table in shown:
    print(f'\n{table.markdown()}')
  write_atomically(
    pathlib.Path(directory) / 'comparison.json',
    json.dumps(rows, indent=2) + '\n',
  )
  blocks = [
    page.Heading(1, f'AVLnet: {pathlib.Path(directory).name}'),
    page.Text(
      'R@k: how many of the queries find their right one among the first k of'
      ' the gallery; means over the seeds. The interval of R@10 comes from a'
      ' bootstrap over seeds and queries.'
    ),
    shown[0],
    page.Figure(
      page.File('recall.png', figures.interval_chart(rows)),
      'R@10 of each run with its interval; the numbers are in the table.',
      'R@10 with its 95 % interval; dotted: chance',
    ),
    shown[1],
  ]
  blocks += learning.blocks(rows, curve, amount)
  if side_by_side:
    old_run, new_run = side_by_side
    for old, new in zip(results[old_run][0], results[new_run][0], strict=True):
      if new.name in items:
        blocks += _side_by_side((old_run, old), (new_run, new), items[new.name])
  page.write(directory, 'report', blocks)


def _side_by_side(
  before: Side, after: Side, items: Sequence[Media]
) -> Iterator[page.Block]:
  """The same queries with the answers of two runs."""
  (old_run, old), (new_run, new) = before, after
  if list(old.ids) != list(new.ids):
    raise ValueError(f'{old_run} and {new_run} were not asked the same queries')
  yield page.Heading(
    2, f'{new.name}: {new.query} → {new.gallery}, {old_run} and {new_run}'
  )
  yield page.Text(
    f'The same queries, first with the five best answers of {old_run}, then'
    f' with those of {new_run}. A hash of their names chose the examples, not'
    ' how good they look: the size of each group says how common they are.'
  )
  found = [r.ranks < 5 for r in (old, new)]
  for title, early, late in GROUPS:
    chosen = (found[0] == early) & (found[1] == late)
    yield page.Heading(3, f'{title}: {chosen.sum()} of {len(chosen)} queries')
    for index in retrieval_report.sample(np.flatnonzero(chosen), new.ids, 3):
      for run, retrieval in (before, after):
        yield retrieval_report.example(retrieval, items, index, run)
