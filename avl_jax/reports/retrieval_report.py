"""Report of an evaluation: scores, training curves, example queries."""

import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from avl_jax.features.media import Media
from avl_jax.reports import charts, examples, page
from avl_jax.retrieval.evaluation import Retrieval
from avl_jax.retrieval.result import MetricName, Result
from avl_jax.retrieval.task import Task
from avl_jax.train import timing

HEADER = (
  *('Evaluation', 'Task', 'Subset', 'Queries', 'Gallery'),
  *('R@1', 'R@5', 'R@10', 'R@10 by chance', 'Median rank', 'Mean rank'),
)
RECALL = (
  'R@k is the percentage of queries whose correct match is among the top k'
  ' gallery items.'
)

SMALL = 100  # items of a gallery, under which a score says little

Curve = charts.Curve


def write(
  directory: str | os.PathLike[str],
  title: str,
  facts: Mapping[str, str],
  retrievals: Sequence[Retrieval],
  media: Mapping[str, Sequence[Media]],
  history: Sequence[Mapping[str, Any]],
  videos: Mapping[str, int] = MappingProxyType({}),
) -> None:
  """Writes report.md and report.html, with pictures and sounds in figures/.

  If interrupted, the previous report stays complete (`page.write`).

  Args:
    directory: of the report, created if absent.
    title: of the page.
    facts: table at the top: checkpoint, step, fingerprint of the data, ...;
      empty ones are left out.
    retrievals: in the order in which they are shown.
    media: by evaluation, in the order of the retrieval's ids. Items are read
      only where they are shown, so a lazy sequence will do. Evaluations without
      media get no examples.
    history: rows of metrics.jsonl, `step` and metrics by name; may be empty.
    videos: by evaluation, see `galleries`.

  Raises:
    ValueError: an evaluation's media are not those of its ids.
  """
  blocks: list[page.Block] = [
    page.Heading(1, title),
    page.Table(('About', ''), [fact for fact in facts.items() if fact[1]]),
    page.Heading(2, 'Scores'),
    page.Text(f'{RECALL} Ranks start at 1; lower is better.'),
    scores(retrievals),
    *map(page.Text, galleries(retrievals, videos)),
    *_curves(history, retrievals),
    *_times(history),
  ]
  for retrieval in retrievals:
    if retrieval.evaluation in media:
      blocks += examples.sheet(retrieval, media[retrieval.evaluation])
  page.write(directory, 'report', blocks)


def scores(retrievals: Sequence[Retrieval]) -> page.Table:
  """Table of the scores, a row for each task and subset."""
  rows = [_cells(row) for r in retrievals for row in r.results]
  return page.Table(HEADER, rows, 'scores')


def galleries(
  retrievals: Sequence[Retrieval], videos: Mapping[str, int]
) -> list[str]:
  """Sentences about the galleries that are of videos, or small.

  Args:
    retrievals: of the evaluations.
    videos: by evaluation, the number of videos that its clips are from; 0 or
      missing: they are no clips.
  """
  sentences = []
  sizes = {r.evaluation: r.results[0].gallery for r in retrievals}
  for name, size in sizes.items():
    number = videos.get(name, 0)
    what = f'{size:,} clip{"s" * (size != 1)}'
    what += f' of {number:,} video{"s" * (number != 1)}'
    what = what if number else f'{size:,} items'
    small = ''
    if size < SMALL:
      small = (
        f' Under {SMALL}, a score says little: by chance, R@10 is'
        f' {page.percent(min(10, size) / size)}, and one question is'
        f' {page.percent(1 / size)}.'
      )
    if number or small:
      sentences.append(f'The gallery of {name} has {what}.{small}')
  return sentences


def _cells(row: Result) -> list[str]:
  """A row of the table of scores."""
  return [
    row.evaluation,
    row.task.label,
    row.subset,
    str(row.queries),
    str(row.gallery),
    page.percent(row.recall_at_1),
    page.percent(row.recall_at_5),
    page.percent(row.recall_at_10),
    page.percent(row.chance_recall_at_10),
    page.decimal(row.median_rank),
    page.decimal(row.mean_rank),
  ]


def _curves(
  history: Sequence[Mapping[str, Any]], retrievals: Sequence[Retrieval]
) -> Iterator[page.Block]:
  """Charts of loss and recalls over steps, if the history has any."""
  curves = _read_curves(history)
  panels = _recall_panels(curves)
  if 'loss' in curves or panels:
    yield page.Heading(2, 'Training')
  if 'loss' in curves:
    steps, losses = curves['loss']
    yield page.Figure(
      page.File('loss.png', charts.loss_curve(steps, losses)),
      f'Training loss from {losses[0]:.3g} at step {steps[0]} to'
      f' {losses[-1]:.3g} at step {steps[-1]}.',
      'Training loss',
    )
  if panels:
    chance = {
      r.evaluation: r.results[0].chance_recall_at_10 for r in retrievals
    }
    ends = (
      f'{evaluation}, {subset}, {task.label}: {page.percent(recalls[-1])} at'
      f' step {steps[-1]}'
      for evaluation, panel in panels.items()
      for (subset, task), (steps, recalls) in panel.items()
    )
    yield page.Figure(
      page.File('recall.png', charts.recall_curves(panels, chance)),
      f'R@10 over training. {"; ".join(ends)}.',
      'R@10 over training; dotted: chance',
    )


def _read_curves(history: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
  """Steps and values of each number in the history, by its name."""
  values: dict[str, dict[int, float]] = {}
  for row in history:
    for name, value in row.items():
      if isinstance(value, int | float):
        # A resumed run logs a step again: the later row replaces the earlier.
        values.setdefault(name, {})[row['step']] = value
  return {
    name: (sorted(by_step), [by_step[step] for step in sorted(by_step)])
    for name, by_step in values.items()
  }


def _recall_panels(
  curves: Mapping[str, Curve],
) -> dict[str, dict[tuple[str, Task], Curve]]:
  """Curves of R@10: evaluation -> (subset, task) -> curve."""
  panels: dict[str, dict[tuple[str, Task], Curve]] = {}
  for text, curve in curves.items():
    name = MetricName.parse(text)
    if name and name.metric == 'R@10':
      panel = panels.setdefault(name.evaluation, {})
      panel[name.subset, name.task] = curve
  return panels


def _times(history: Sequence[Mapping[str, Any]]) -> Iterator[page.Block]:
  """Table of the training time by section, all starts of the run included."""
  rows = [row for row in history if 'seconds/total' in row]
  if not rows:
    return
  last = rows[-1]
  total = last['seconds/total']
  yield page.Table(
    (f'Training time: {total:.0f} s', 'Seconds', 'Share'),
    [
      (
        text,
        page.decimal(last[f'seconds/{key}']),
        page.percent(last[f'seconds/{key}'] / total),
      )
      for key, text in timing.SECTIONS.items()
    ],
  )
