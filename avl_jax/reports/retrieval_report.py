"""A page that shows a person what a model learned: scores, curves, examples."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import numbers
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from avl_jax.features.media import Media
from avl_jax.reports import figures, page
from avl_jax.train import timing

if TYPE_CHECKING:
  from avl_jax.retrieval import evaluation as retrieval_evaluation

GROUPS = (  # title, lowest rank, end of ranks
  ('Right one first', 0, 1),
  ('Right one in the top five', 1, 5),
  ('Right one beyond the top five', 5, np.inf),
)
HEADER = (
  *('Evaluation', 'Task', 'Subset', 'Queries', 'Gallery'),
  *('R@1', 'R@5', 'R@10', 'R@10 by chance', 'Median rank', 'Mean rank'),
)


@dataclasses.dataclass(frozen=True)
class Group:
  """Queries that fared alike: how many, and the indices of some to show."""

  title: str
  size: int
  examples: tuple[int, ...]


def choose_examples(
  ranks: np.ndarray, ids: Sequence[str], per_group: int = 4
) -> tuple[Group, ...]:
  """Chooses queries to show: right one first, in the top five, beyond.

  A hash of the ids chooses: it does not know how good an example looks, and
  brings up the same queries again after the next evaluation.

  Args:
    ranks: [N] 0-based rank of each query's right item.
    ids: N names of the queries.
    per_group: most examples of a group.

  Returns:
    Three groups, the best first; examples are indices into `ids`.

  Raises:
    ValueError: if there is not one rank per id.
  """
  if len(ranks) != len(ids):
    raise ValueError(
      f'{len(ranks)} ranks of {len(ids)} queries; examples need one rank per'
      " query, which ties='against' gives"
    )
  groups = []
  for title, first, end in GROUPS:
    members = [i for i, rank in enumerate(ranks) if first <= rank < end]
    examples = sample(members, ids, per_group)
    groups.append(Group(title, len(members), examples))
  return tuple(groups)


def sample(
  members: Iterable[int], ids: Sequence[str], count: int
) -> tuple[int, ...]:
  """At most `count` of `members`, indices of `ids`: first by their hashes."""
  order = sorted(
    members, key=lambda i: hashlib.sha256(str(ids[i]).encode()).digest()
  )
  return tuple(int(i) for i in order[:count])


def write(
  directory: str | os.PathLike[str],
  title: str,
  notes: Mapping[str, str],
  retrievals: Sequence[retrieval_evaluation.Retrieval],
  items: Mapping[str, Sequence[Media]],
  history: Sequence[Mapping[str, Any]],
) -> None:
  """Writes report.md and report.html, with figures and sounds in figures/.

  An interrupted report leaves the one before whole (`page.write`).

  Args:
    directory: of the report, made if absent.
    title: of the page.
    notes: facts for its head: checkpoint, step, fingerprint of the data, ...
    retrievals: results, in the order they are shown.
    items: by name of the evaluation what its sheets show, in the order of
      the retrieval's ids; read only where shown, so a lazy sequence will do.
      Evaluations without items get no sheets.
    history: rows of metrics.jsonl, `step` and other numbers by name; may be
      empty.

  Raises:
    ValueError: if an evaluation's items are not those of its ids, or it has
      items but not one rank per id.
  """
  blocks = [
    page.Heading(1, title),
    page.Table(('About', ''), tuple(notes.items())),
    page.Heading(2, 'Scores'),
    page.Text(
      'R@k: how many of the queries find their right one among the first k of'
      ' the gallery. Ranks count from 1; less is better.'
    ),
    page.Table(HEADER, [_row(row) for r in retrievals for row in r.rows]),
    *_curves(history, retrievals),
    *_times(history),
  ]
  for retrieval in retrievals:
    if retrieval.name in items:
      blocks += _sheet(retrieval, items[retrieval.name])
  page.write(directory, 'report', blocks)


def _row(row: Mapping[str, Any]) -> list[str]:
  """A row of the table of scores."""
  task = row['task'].replace('->', '→')
  counts = [str(row[key]) for key in ('queries', 'gallery')]
  keys = ('R@1', 'R@5', 'R@10', 'chance_R@10')
  cells = [f'{100 * row[key]:.1f} %' for key in keys]
  cells += [f'{row[key]:.1f}' for key in ('median_rank', 'mean_rank')]
  # NaN: no query to rank.
  cells = ['–' if 'nan' in cell else cell for cell in cells]
  return [row['evaluation'], task, row['subset'], *counts, *cells]


def _curves(
  history: Sequence[Mapping[str, Any]],
  retrievals: Sequence[retrieval_evaluation.Retrieval],
) -> Iterator[page.Block]:
  """Loss and recalls over steps, what the history holds of them."""
  values = {}  # name -> step -> value: a resumed run's later row counts
  for row in history:
    for name, value in row.items():
      if isinstance(value, numbers.Real):
        values.setdefault(name, {})[row['step']] = value
  curves = {
    name: tuple(zip(*sorted(by_step.items()), strict=True))
    for name, by_step in values.items()
  }
  panels = {}
  for name, curve in curves.items():
    if name.count('/') == 3 and name.endswith('/R@10'):
      evaluation, subset, task, _ = name.split('/')
      task = task.replace('_to_', ' → ')
      panels.setdefault(evaluation, {})[subset, task] = curve
  if 'loss' in curves or panels:
    yield page.Heading(2, 'Training')
  if 'loss' in curves:
    steps, losses = curves['loss']
    yield page.Figure(
      page.File('loss.png', figures.loss_curve(steps, losses)),
      f'Training loss from {losses[0]:.3g} at step {steps[0]} to'
      f' {losses[-1]:.3g} at step {steps[-1]}.',
      'Training loss',
    )
  if panels:
    chance = {r.name: r.rows[0]['chance_R@10'] for r in retrievals}
    ends = (
      f'{evaluation}, {subset}, {task}: {recalls[-1]:.1%} at step {steps[-1]}'
      for evaluation, panel in panels.items()
      for (subset, task), (steps, recalls) in panel.items()
    )
    yield page.Figure(
      page.File('recall.png', figures.recall_curves(panels, chance)),
      f'R@10 over training. {"; ".join(ends)}.',
      'R@10 over training; dotted: chance',
    )


def _times(history: Sequence[Mapping[str, Any]]) -> Iterator[page.Block]:
  """Where the time of all starts went, until the last checkpoint."""
  counted = [row for row in history if 'seconds/total' in row]
  if not counted:
    return
  total = counted[-1]['seconds/total']
  seconds = {key: counted[-1][f'seconds/{key}'] for key in timing.SECTIONS}
  yield page.Table(
    (f'Where {total:.0f} s of training went', 'Seconds', 'Share'),
    [
      (text, f'{seconds[key]:.1f}', f'{seconds[key] / total:.1%}')
      for key, text in timing.SECTIONS.items()
    ],
  )


def _sheet(
  retrieval: retrieval_evaluation.Retrieval, items: Sequence[Media]
) -> Iterator[page.Block]:
  """Examples of one direction of an evaluation, in three groups."""
  count, name = len(retrieval.ids), retrieval.name
  if len(items) != count:
    raise ValueError(
      f'{len(items)} items for evaluation {name!r}, which has {count} ids;'
      ' give one item per id, in the same order'
    )
  yield page.Heading(2, f'{name}: {retrieval.query} → {retrieval.gallery}')
  yield page.Text(
    f'Each query, at the left, was compared with all {count} of the gallery;'
    ' the five that score best follow, best first, and the right one has a'
    ' green frame and a ✓. A hash of their names chose the examples, not how'
    ' good they look: the size of each group says how common they are.'
  )
  groups = choose_examples(retrieval.ranks, retrieval.ids)
  for group in groups:
    share = group.size / max(count, 1)
    yield page.Heading(
      3, f'{group.title}: {group.size} of {count} queries ({share:.1%})'
    )
    if not group.examples:
      yield page.Text('No query is in this group.')
    for index in group.examples:
      yield example(retrieval, items, index)


def example(
  retrieval: retrieval_evaluation.Retrieval,
  items: Sequence[Media],
  index: int,
  run: str = '',
) -> page.Figure:
  """A query with the five best answers and, if beyond them, the right one.

  Args:
    retrieval: has the query and its answers.
    items: of the evaluation, in the order of its ids.
    index: of the query.
    run: whose answers these are, where several are shown.

  Raises:
    ValueError: an item is not the one of its id.
  """
  shown = [int(answer) for answer in retrieval.top[index]]
  labels = [str(place + 1) for place in range(len(shown))]
  if index not in shown:
    shown.append(index)
    labels.append(f'rank {retrieval.ranks[index] + 1:g}')
  parts = {i: items[i] for i in {index, *shown}}
  for i, item in parts.items():
    if item.id != retrieval.ids[i]:
      raise ValueError(
        f'item {i} of evaluation {retrieval.name!r} is {item.id!r}, but its id'
        f' is {retrieval.ids[i]!r}; give the items in the order of the ids'
      )
  row = figures.sheet_row(
    parts[index],
    [parts[i] for i in shown],
    (retrieval.query, retrieval.gallery),
    labels,
    [i == index for i in shown],
  )
  notes = [('query', parts[index], retrieval.query)]
  notes += [
    (f'✓ {label}' if i == index else label, parts[i], retrieval.gallery)
    for i, label in zip(shown, labels, strict=True)
  ]
  said = [(f'{label}: {item.caption}', item, e) for label, item, e in notes]
  return page.Figure(
    page.File(f'{retrieval.name} {retrieval.query} {index} {run}.png', row),
    '; '.join(text for text, _, _ in said),
    f'{run}: '
    * bool(run)
    + f'Right one at rank {retrieval.ranks[index] + 1:g} of'
    f' {len(retrieval.ids)} ({retrieval.subsets[index]})',
    [(text, _sound(item) if 'audio' in e else None) for text, item, e in said],
  )


def _sound(item: Media) -> page.File | None:
  """A recording as the page plays it, none where there is no sound."""
  if not len(item.waveform):
    return None
  buffer = io.BytesIO()
  # MP3: every browser plays it, and unlike Ogg it has no random serial number.
  soundfile.write(buffer, item.waveform, 16000, format='MP3')
  return page.File(f'{item.id}.mp3', buffer.getvalue())
