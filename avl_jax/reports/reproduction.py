"""Fills the thesis' tables with the results of runs, beside printed numbers."""

import json
import os
import pathlib
import statistics
import typing
from collections.abc import Iterable, Iterator, Sequence

from avl_jax.checkpoints import metadata
from avl_jax.errors import UserError
from avl_jax.reports import charts, page, thesis_tables
from avl_jax.retrieval.result import Result, whole
from avl_jax.retrieval.task import Task

HEADER = (
  *('Model', 'Data', 'Direction', 'Thesis', 'Obtained'),
  *('Gap', 'Seeds', 'Trained on', 'Gallery'),
)
NOT_RUN, OTHERS = 'not run', 'not ours'


class Record(typing.NamedTuple):
  """Content of an evaluation.json that may fill cells.

  Attributes:
    recipe: of the run.
    checkpoint: fingerprint of the model.
    examples: number of examples of the last training; 0: none, or unknown.
    results: of the evaluation.
  """

  recipe: str
  checkpoint: str
  examples: int
  results: Sequence[Result]


class Obtained(typing.NamedTuple):
  """Result of a checkpoint on all queries; `examples` as in `Record`."""

  result: Result
  examples: int


def write(root: str | os.PathLike) -> None:
  """Writes ROOT/thesis.md and ROOT/thesis.html.

  Args:
    root: folder with runs at any depth, each with its evaluation.json.

  Raises:
    UserError: the folder does not exist.
  """
  root = pathlib.Path(root)
  if not root.is_dir():
    raise UserError(
      f'There is no folder {root}. Pass the folder that contains the runs as'
      ' --workdir.'
    )
  records, excluded = read_records(root)
  blocks: list[page.Block] = [
    page.Heading(1, 'The thesis, reproduced'),
    page.Text(
      'Recalls are in percent; ranks start at 1. Gap: obtained minus printed;'
      ' with several seeds, means and standard deviations. Trained on: the'
      ' number of examples of the last training, and that of the thesis.'
      ' Gallery: the number of items ranked, and that of the thesis. A cell is'
      ' filled only from an evaluation that names its recipe, its checkpoint'
      ' and its data. Synthetic data and features of other networks never fill'
      ' a cell.'
    ),
  ]
  for table in thesis_tables.TABLES:
    blocks += _table(table, records)
  blocks += _curves(records)
  if excluded:
    blocks += [
      page.Heading(2, 'Excluded evaluations'),
      page.Table(('File', 'Reason'), excluded),
    ]
  page.write(root, 'thesis', blocks)
  filled = sum(
    bool(find(records, row, task))
    for table in thesis_tables.TABLES
    for row in table.rows
    for task in table.tasks
  )
  print(f'Filled {filled} cells. Report: {root}/thesis.html')


def read_records(
  root: pathlib.Path,
) -> tuple[list[Record], list[tuple[str, str]]]:
  """Reads every evaluation.json below a folder.

  Returns:
    The records that may fill cells, and (file, reason) of what is excluded.
  """
  records, excluded = [], []
  for path in sorted(root.rglob('evaluation.json')):
    record, reasons = _read(path)
    name = str(path.relative_to(root))
    excluded += [(name, reason) for reason in reasons]
    if record:
      records.append(record)
  return records, excluded


def _read(path: pathlib.Path) -> tuple[Record | None, list[str]]:
  """The record of a file, and why it or some of its results are excluded."""
  try:
    content = json.loads(path.read_text())
    facts = content['facts']
    results = [Result.from_json(row) for row in content['rows']]
    recipe, checkpoint = facts.get('recipe'), facts.get('checkpoint')
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    return None, [f'cannot be read: {error!r}']
  if not recipe:
    return None, ['belongs to no recipe of the thesis']
  if not checkpoint or not facts.get('data'):
    return None, ['no fingerprint of the checkpoint or its data']
  if any(map(_is_synthetic, metadata.provenance(facts).split())):
    return None, ['SYNTHETIC: the model was trained on made-up data']
  width = facts.get('visual_width')
  widths = thesis_tables.visual_widths(recipe)
  if width not in widths:
    wide = ' or '.join(map(str, widths))
    return None, [f'features are {width} wide, those of the thesis {wide}']
  reasons = []
  known = [result for result in results if result.data]
  real = [result for result in known if not _is_synthetic(result.data)]
  if len(real) < len(known):
    reasons.append('SYNTHETIC: evaluated on made-up data')
  if len(known) < len(results):
    reasons.append('no fingerprint of the data evaluated on')
  trained = facts.get('examples', 0) if facts.get('step') else 0
  return Record(recipe, checkpoint, trained, real), reasons


def _is_synthetic(fingerprint: str) -> bool:
  return fingerprint.startswith('synthetic')


def find(
  records: Iterable[Record], row: thesis_tables.Row, task: Task
) -> list[Obtained]:
  """The results that fill a cell, one for each checkpoint (each seed)."""
  found = {}
  for record in records:
    fitting = [
      result
      for result in record.results
      if (result.evaluation, result.task) == (row.evaluation, task)
    ]
    if row.recipe and record.recipe == row.recipe and fitting:
      found[record.checkpoint] = Obtained(whole(fitting), record.examples)
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
  """A line for each direction of a row."""
  for i, task in enumerate(table.tasks):
    if row.targets and i >= len(row.targets):
      continue  # Some works print one direction.
    targets = row.targets[i] if row.targets else ()
    printed = ' / '.join(f'{number:g}' for number in targets) or 'a plot'
    obtained = find(records, row, task)
    cells = (NOT_RUN if row.recipe else OTHERS, '', '', '', '')
    if obtained:
      cells = _cells(table, row, targets, obtained)
    name = thesis_tables.NAMES[row.evaluation]
    yield (row.label, name, task.label, printed, *cells)


def _cells(
  table: thesis_tables.Table,
  row: thesis_tables.Row,
  targets: Sequence[float],
  obtained: Sequence[Obtained],
) -> tuple[str, ...]:
  """Obtained, gap, number of seeds, examples of the training, gallery."""
  values = [
    [_value(each.result, metric) for each in obtained]
    for metric in table.metrics
  ]
  examples = obtained[0].examples
  ranked = thesis_tables.GALLERIES[row.evaluation] or '?'
  trained = f'{examples:,} of {thesis_tables.examples(row.recipe):,}'
  return (
    ' / '.join(f'{statistics.mean(seeds):.1f}' for seeds in values),
    # The points of a plot have no targets.
    ' / '.join(map(_gap, values, targets)),
    str(len(obtained)),
    trained if examples else '',
    f'{obtained[0].result.gallery} of {ranked}',
  )


def _value(result: Result, metric: str) -> float:
  """A metric as the thesis prints it: a recall in percent, or a median rank."""
  return result.metric(metric) * (1 if metric == 'median_rank' else 100)


def _gap(values: Sequence[float], target: float) -> str:
  spread = f' ± {statistics.stdev(values):.1f}' if len(values) > 1 else ''
  return f'{statistics.mean(values) - target:+.1f}{spread}'


def _curves(records: list[Record]) -> Iterator[page.Block]:
  """Figure 5-3, as far as its runs exist."""
  table, (task, *_) = thesis_tables.FIGURE_5_3, thesis_tables.FIGURE_5_3.tasks
  panels: dict[str, dict[tuple[str, Task], tuple[list, list]]] = {}
  for row in table.rows:
    if obtained := find(records, row, task):
      panel = panels.setdefault(thesis_tables.NAMES[row.evaluation], {})
      shares, recalls = panel.setdefault((row.regime, task), ([], []))
      shares.append(row.share)
      recalls.append(
        statistics.mean(each.result.recall_at_10 for each in obtained)
      )
  if not panels:
    return
  ends = '; '.join(
    f'{name}, {regime}: {page.percent(recalls[-1])} at {shares[-1]} %'
    for name, panel in panels.items()
    for (regime, _), (shares, recalls) in panel.items()
  )
  chart = charts.recall_curves(panels, {}, 'videos of HowTo100M, %')
  yield page.Figure(
    page.File('shares.png', chart),
    f'R@10 over the share of HowTo100M. {ends}.',
    table.title,
  )
