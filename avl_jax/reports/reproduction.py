"""Fills the thesis' tables with what runs obtained, beside what was printed."""

import json
import os
import pathlib
import statistics
import typing
from collections.abc import Iterable, Iterator, Sequence

from avl_jax.checkpoints import metadata
from avl_jax.errors import UserError
from avl_jax.reports import figures, page, thesis_tables

HEADER = (
  *('Model', 'Data', 'Direction', 'Thesis', 'Obtained'),
  *('Gap', 'Seeds', 'Trained on', 'Gallery'),
)
NOT_RUN, OTHERS = 'not run', 'not ours'


class Record(typing.NamedTuple):
  """What an evaluation.json says, if it may fill a cell.

  Attributes:
    recipe: of the run.
    checkpoint: fingerprint of the model.
    examples: that the last training had; 0: there was none, or who knows.
    rows: of the evaluation, as `evaluate.retrieval` makes them.
  """

  recipe: str
  checkpoint: str
  examples: int
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
      'Recalls are in percent, ranks count from 1. Gap: obtained less printed;'
      ' with several seeds, means and standard deviations. Trained on: the'
      ' examples there were in the last training, of those of the thesis.'
      ' Gallery: what was ranked, of what the thesis ranked. A cell is'
      ' filled only from an evaluation that names its recipe, its checkpoint'
      ' and its data; made-up data never fill one, nor do features of other'
      ' networks.'
    ),
  ]
  for table in thesis_tables.TABLES:
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
    for table in thesis_tables.TABLES
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
    elif any(map(_is_synthetic, metadata.provenance(facts).split())):
      aside.append((name, 'SYNTHETIC: the model was trained on made-up data'))
    elif (width := facts.get('visual_width')) != thesis_tables.visual_width(
      recipe
    ):
      expected = thesis_tables.visual_width(recipe)
      why = f'features are {width} wide, those of the thesis {expected}'
      aside.append((name, why))
    else:
      if len(real) < len(known):
        aside.append((name, 'SYNTHETIC: evaluated on made-up data'))
      if len(known) < len(rows):
        aside.append((name, 'no fingerprint of the data evaluated on'))
      trained = facts.get('examples', 0) if facts.get('step') else 0
      records.append(Record(recipe, checkpoint, trained, real))
  return records, aside


def _is_synthetic(fingerprint: str) -> bool:
  return fingerprint.startswith('synthetic')


def find(
  records: Iterable[Record], row: thesis_tables.Row, task: str
) -> list[dict]:
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
      whole = max(fitting, key=lambda r: r['queries'])
      found[record.checkpoint] = whole | {'examples': record.examples}
  return list(found.values())


def _table(
  table: thesis_tables.Table, records: list[Record]
) -> Iterator[page.Block]:
  yield page.Heading(2, table.title)
  yield page.Text(f'Numbers: {", ".join(table.metrics)}. {table.note}')
  lines = [line for row in table.rows for line in _lines(table, row, records)]
  yield page.Table(HEADER, lines)


def _lines(
  table: thesis_tables.Table, row: thesis_tables.Row, records: list[Record]
) -> Iterator[tuple[str, ...]]:
  for i, task in enumerate(table.tasks):
    if row.targets and i >= len(row.targets):
      continue  # others print one direction
    targets = row.targets[i] if row.targets else ()
    printed = ' / '.join(f'{number:g}' for number in targets) or 'a plot'
    found = find(records, row, task)
    cells = (NOT_RUN if row.recipe else OTHERS, '', '', '', '')
    if found:
      cells = _cells(table, row, targets, found)
    direction = task.replace('->', '→')
    yield (
      row.label,
      thesis_tables.NAMES[row.evaluation],
      direction,
      printed,
      *cells,
    )


def _cells(
  table: thesis_tables.Table,
  row: thesis_tables.Row,
  targets: Sequence[float],
  found: Sequence[dict],
) -> tuple[str, ...]:
  """Obtained, gap, seeds, what it was trained on, gallery."""
  values = [
    [_value(result, metric) for result in found] for metric in table.metrics
  ]
  first = found[0]
  ranked = thesis_tables.GALLERIES[row.evaluation] or '?'
  trained = f'{first["examples"]:,} of {thesis_tables.examples(row.recipe):,}'
  return (
    ' / '.join(f'{statistics.mean(seeds):.1f}' for seeds in values),
    # There are no targets where there is a plot alone.
    ' / '.join(map(_gap, values, targets)),
    str(len(found)),
    trained if first['examples'] else '',
    f'{first["gallery"]} of {ranked}',
  )


def _value(result: dict, metric: str) -> float:
  return result[metric] * (1 if metric == 'median_rank' else 100)


def _gap(values: Sequence[float], target: float) -> str:
  spread = f' ± {statistics.stdev(values):.1f}' if len(values) > 1 else ''
  return f'{statistics.mean(values) - target:+.1f}{spread}'


def _curves(records: list[Record]) -> Iterator[page.Block]:
  """Figure 5-3, what there is of it."""
  table, panels = thesis_tables.FIGURE_5_3, {}
  for row in table.rows:
    if found := find(records, row, table.tasks[0]):
      share, regime = row.label.split(' %, ')
      panel = panels.setdefault(thesis_tables.NAMES[row.evaluation], {})
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
