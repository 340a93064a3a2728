"""Comparison of runs: one table over models, seeds and data sets.

The thesis' tables compare runs that differ in little: trained on the target
alone, zero-shot, fine-tuned (Table 3.2); in one language or in several
(Table 5.1).
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from avl_jax.features.media import Media
from avl_jax.files import write_atomically
from avl_jax.reports import (
  charts,
  examples,
  learning_curves,
  page,
  retrieval_report,
)
from avl_jax.retrieval import metrics
from avl_jax.retrieval.evaluation import Retrieval
from avl_jax.retrieval.result import Result, RunResult
from avl_jax.retrieval.task import Task

RunRetrieval = tuple[str, Retrieval]  # name of a run, one of its retrievals
Column = tuple[str, Task, str]  # evaluation, task, subset

HEADER = (
  *('Evaluation', 'Task', 'Subset', 'Run', 'Seeds', 'R@1', 'R@5', 'R@10'),
  *('95 % interval', 'Median rank', 'Gallery', 'R@10 by chance'),
)
GROUPS = (  # title; whether the correct match is in the top 5 before, after
  ('In the top 5 only after', False, True),
  ('In the top 5 only before', True, False),
  ('In the top 5 both times', True, True),
  ('Never in the top 5', False, False),
)


def summarise(
  results: Mapping[str, Sequence[Sequence[Retrieval]]],
) -> list[RunResult]:
  """A row for each evaluation, task, subset and run: means over the seeds.

  Args:
    results: run -> for each of its seeds the same retrievals in the same order.

  Returns:
    Rows whose recalls and median ranks are means over the seeds.
  """
  rows = []
  for run, seeds in results.items():
    for retrievals in zip(*seeds, strict=True):
      for same in zip(*(r.results for r in retrievals), strict=True):
        rows.append(_mean(run, retrievals, same))
  order = list(dict.fromkeys(_column(row) for row in rows))
  return sorted(rows, key=lambda row: order.index(_column(row)))


def _mean(
  run: str, retrievals: Sequence[Retrieval], same: Sequence[Result]
) -> RunResult:
  """Mean of the results of a run's seeds on one subset."""
  first = same[0]
  low, high = metrics.interval(np.stack([hits(r, first) for r in retrievals]))
  fields = {f.name: getattr(first, f.name) for f in dataclasses.fields(first)}
  for name in ('recall_at_1', 'recall_at_5', 'recall_at_10', 'median_rank'):
    fields[name] = float(np.mean([getattr(result, name) for result in same]))
  return RunResult(**fields, run=run, seeds=len(same), low=low, high=high)


def _column(row: Result) -> Column:
  return row.evaluation, row.task, row.subset


def hits(retrieval: Retrieval, result: Result) -> np.ndarray:
  """For each query of a result, whether its correct match is in the top 10."""
  chosen = np.asarray(retrieval.subsets) == result.subset
  # No example is labelled 'all': that result is of every example.
  ranks = retrieval.ranks[chosen] if chosen.any() else retrieval.ranks
  found = np.zeros(result.queries, bool)  # Queries without media are misses.
  found[: len(ranks)] = ranks < 10
  return found


def tables(rows: Sequence[RunResult]) -> list[page.Table]:
  """R@10 with a row per run and a column per task, and all metrics."""
  columns = list(dict.fromkeys(_column(row) for row in rows))
  runs = list(dict.fromkeys(row.run for row in rows))
  cells = {(row.run, _column(row)): row for row in rows}
  first = {_column(row): row for row in reversed(rows)}
  header = ['R@10 of', *(_title(first[column]) for column in columns)]
  lines = [
    [run, *(learning_curves.recall(cells.get((run, c))) for c in columns)]
    for run in runs
  ]
  chance = [page.percent(first[c].chance_recall_at_10) for c in columns]
  return [
    page.Table(header, [*lines, ['chance', *chance]]),
    page.Table(HEADER, [_cells(row) for row in rows], 'runs'),
  ]


def _title(row: Result) -> str:
  place = f'{row.evaluation}, {row.subset}'
  return f'{place}, {row.task.label} (of {row.gallery})'


def _cells(row: RunResult) -> list[str]:
  return [
    row.evaluation,
    row.task.label,
    row.subset,
    row.run,
    str(row.seeds),
    page.percent(row.recall_at_1),
    page.percent(row.recall_at_5),
    page.percent(row.recall_at_10),
    f'{page.percent(row.low)} to {page.percent(row.high)}',
    page.decimal(row.median_rank),
    str(row.gallery),
    page.percent(row.chance_recall_at_10),
  ]


def write(
  directory: str | os.PathLike,
  results: Mapping[str, Sequence[Sequence[Retrieval]]],
  media: Mapping[str, Sequence[Media]],
  *,
  side_by_side: Sequence[str],
  curve: Sequence[tuple[str, str, float]] = (),
  amount: str = '',
  more: Sequence[page.Block] = (),
) -> None:
  """Prints the tables; writes report.md, report.html and comparison.json.

  Args:
    directory: of the report, created if absent.
    results: see `summarise`.
    media: by evaluation, in the order of the ids.
    side_by_side: two runs, before and after: the same queries are shown with
      the answers of both (their first seed), after the thesis' Figure 5-2; ()
      shows none.
    curve: (run, line, amount of its data): R@10 is drawn over the amounts, see
      `learning_curves.blocks`.
    amount: unit of the amounts.
    more: blocks behind the tables, which are printed too.
  """
  directory = pathlib.Path(directory)
  rows = summarise(results)
  by_task, whole = tables(rows)
  for block in (by_task, whole, *more):
    print(f'\n{block.markdown()}')
  content = json.dumps([row.to_json() for row in rows], indent=2)
  write_atomically(directory / 'comparison.json', f'{content}\n')
  blocks: list[page.Block] = [
    page.Heading(1, f'AVLnet: {directory.name}'),
    page.Text(
      f'{retrieval_report.RECALL} Numbers are means over the seeds. The'
      ' interval of R@10 is a bootstrap over seeds and queries.'
    ),
    by_task,
    page.Figure(
      page.File('recall.png', charts.interval_chart(rows)),
      'R@10 of each run with its interval; the numbers are in the table.',
      'R@10 with its 95 % interval; dotted: chance',
    ),
    whole,
    *more,
    *learning_curves.blocks(rows, curve, amount),
  ]
  if side_by_side:
    old_run, new_run = side_by_side
    for old, new in zip(results[old_run][0], results[new_run][0], strict=True):
      if new.evaluation in media:
        blocks += _side_by_side(
          (old_run, old), (new_run, new), media[new.evaluation]
        )
  page.write(directory, 'report', blocks)


def _side_by_side(
  before: RunRetrieval, after: RunRetrieval, media: Sequence[Media]
) -> Iterator[page.Block]:
  """The same queries with the answers of two runs."""
  (old_run, old), (new_run, new) = before, after
  if list(old.ids) != list(new.ids):
    raise ValueError(
      f'Runs {old_run} and {new_run} were evaluated on different queries.'
      ' Compare runs of the same evaluation.'
    )
  yield page.Heading(
    2, f'{new.evaluation}: {new.task.label}, {old_run} and {new_run}'
  )
  yield page.Text(
    f'The same queries with the five best answers of run {old_run}, then with'
    f' those of run {new_run}. Examples are chosen by a hash of their names,'
    ' not by how good they look. The size of each group says how common such'
    ' queries are.'
  )
  in_top = [r.ranks < 5 for r in (old, new)]
  for title, early, late in GROUPS:
    chosen = (in_top[0] == early) & (in_top[1] == late)
    yield page.Heading(3, f'{title}: {chosen.sum()} of {len(chosen)} queries')
    for index in examples.sample(np.flatnonzero(chosen), new.ids, 3):
      for run, retrieval in (before, after):
        yield examples.example(retrieval, media, index, run)
