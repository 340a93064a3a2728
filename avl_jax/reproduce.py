"""Fills the thesis' tables with what runs obtained, beside what was printed."""

import json
import os
import pathlib
import statistics
import typing
from collections.abc import Iterable, Iterator, Sequence

from avl_jax import UserError, descriptions, figures, page, thesis

HEADER = (
  *('Model', 'Data', 'Direction', 'Thesis', 'Obtained'),
  *('Gap', 'Seeds', 'Gallery'),
)
NOT_RUN, OTHERS = 'not run', 'not ours'


class Record(typing.NamedTuple):
  """What an evaluation.json says, if it may fill a cell.

  Attributes:
    recipe: of the run.
    checkpoint: fingerprint of the model.
    rows: of the evaluation, as `evaluate.retrieval` makes them.
  """

  recipe: str
  checkpoint: str
  rows: Sequence[dict]


def write(root: str | os.PathLike) -> None:
  """Writes ROOT/thesis.md and ROOT/thesis.html.

  Args:
    root: folder with runs at any depth, each with its evaluation.json.

  Raises:
    UserError: there is no such folder.
  """
  root = pathlib.Path(root)
  if not root.is_dir():
    raise UserError(f'no folder {root}: name the one with the runs, --workdir=')
  records, aside = read_records(root)
  blocks = [
    page.Heading(1, 'The thesis, reproduced'),
    page.Text(
      'Recalls are in percent, ranks count from 1. Gap is that of R@10, in'
      ' points; with several seeds, means and the standard deviation of the'
      ' gap. Gallery: what was ranked, of what the thesis ranked. A cell is'
      ' filled only from an evaluation that names its recipe, its checkpoint'
      ' and its data; made-up data never fill one.'
    ),
  ]
  for table in thesis.TABLES:
    blocks += _table(table, records)
  blocks += _curves(records)
  if aside:
    blocks += [
      page.Heading(2, 'Evaluations set aside'),
      page.Table(('File', 'Why'), aside),
    ]
  page.write(root, 'thesis', blocks)
  filled = sum(
    bool(find(records, row, task))
    for table in thesis.TABLES
    for row in table.rows
    for task in table.tasks
  )
  print(f'{filled} cells filled; look at {root}/thesis.html')


def read_records(
  root: pathlib.Path,
) -> tuple[list[Record], list[tuple[str, str]]]:
  """The evaluations below a folder; those set aside, and why."""
  records, aside = [], []
  for path in sorted(root.rglob('evaluation.json')):
    name = str(path.relative_to(root))
    try:
      content = json.loads(path.read_text())
      facts, rows = content['facts'], content['rows']
      recipe, checkpoint = facts.get('recipe'), facts.get('checkpoint')
      known = [row for row in rows if row.get('data')]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
      aside.append((name, f'cannot be read: {error!r}'))
      continue
    real = [row for row in known if not _is_synthetic(row['data'])]
    if not recipe:
      aside.append((name, 'belongs to no recipe of the thesis'))
    elif not checkpoint or not facts.get('data'):
      aside.append((name, 'no fingerprint of the checkpoint or its data'))
    elif any(map(_is_synthetic, descriptions.provenance(facts).split())):
      aside.append((name, 'SYNTHETIC: the model was trained on made-up data'))
    else:
      if len(real) < len(known):
        aside.append((name, 'SYNTHETIC: evaluated on made-up data'))
      if len(known) < len(rows):
        aside.append((name, 'no fingerprint of the data evaluated on'))
      records.append(Record(recipe, checkpoint, real))
  return records, aside


def _is_synthetic(fingerprint: str) -> bool:
  return fingerprint.startswith('synthetic')


def find(records: Iterable[Record], row: thesis.Row, task: str) -> list[dict]:
  """The rows that fill a cell, one for each checkpoint (each seed)."""
  found = {}
  for record in records:
    fitting = [
      result
      for result in record.rows
      if (result['evaluation'], result['task']) == (row.evaluation, task)
    ]
    if row.recipe and record.recipe == row.recipe and fitting:
      # All queries, if there are rows of subsets, too.
      found[record.checkpoint] = max(fitting, key=lambda r: r['queries'])
  return list(found.values())


def _table(table: thesis.Table, records: list[Record]) -> Iterator[page.Block]:
  yield page.Heading(2, table.title)
  yield page.Text(f'Numbers: {", ".join(table.metrics)}. {table.note}')
  lines = [line for row in table.rows for line in _lines(table, row, records)]
  yield page.Table(HEADER, lines)


def _lines(
  table: thesis.Table, row: thesis.Row, records: list[Record]
) -> Iterator[tuple[str, ...]]:
  for i, task in enumerate(table.tasks):
    if row.targets and i >= len(row.targets):
      continue  # others print one direction
    targets = row.targets[i] if row.targets else ()
    printed = ' / '.join(f'{number:g}' for number in targets) or 'a plot'
    found = find(records, row, task)
    obtained, gap, seeds, gallery = (
      NOT_RUN if row.recipe else OTHERS,
      '',
      '',
      '',
    )
    if found:
      means = [
        statistics.mean(_value(result, metric) for result in found)
        for metric in table.metrics
      ]
      obtained = ' / '.join(f'{mean:.1f}' for mean in means)
      gap = _gap(found, dict(zip(table.metrics, targets, strict=False)))
      seeds = str(len(found))
      required = thesis.GALLERIES[row.evaluation] or '?'
      gallery = f'{found[0]["gallery"]} of {required}'
    direction = task.replace('->', '→')
    name = thesis.NAMES[row.evaluation]
    yield row.label, name, direction, printed, obtained, gap, seeds, gallery


def _value(result: dict, metric: str) -> float:
  return result[metric] * (1 if metric == 'median_rank' else 100)


def _gap(found: Sequence[dict], targets: dict[str, float]) -> str:
  if 'R@10' not in targets:
    return ''
  gaps = [_value(result, 'R@10') - targets['R@10'] for result in found]
  spread = f' ± {statistics.stdev(gaps):.1f}' if len(gaps) > 1 else ''
  return f'{statistics.mean(gaps):+.1f}{spread}'


def _curves(records: list[Record]) -> Iterator[page.Block]:
  """Figure 5-3, what there is of it."""
  table, panels = thesis.FIGURE_5_3, {}
  for row in table.rows:
    if found := find(records, row, table.tasks[0]):
      share, regime = row.label.split(' %, ')
      panel = panels.setdefault(thesis.NAMES[row.evaluation], {})
      shares, recalls = panel.setdefault((regime, 'audio → video'), ([], []))
      shares.append(int(share))
      recalls.append(statistics.mean(result['R@10'] for result in found))
  if panels:
    ends = '; '.join(
      f'{name}, {regime}: {recalls[-1]:.1%} at {shares[-1]} %'
      for name, panel in panels.items()
      for (regime, _), (shares, recalls) in panel.items()
    )
    yield page.Figure(
      page.File(
        'shares.png',
        figures.recall_curves(panels, {}, 'videos of HowTo100M, %'),
      ),
      f'R@10 over the share of HowTo100M. {ends}.',
      table.title,
    )
