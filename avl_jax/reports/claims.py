"""Claims of the thesis about which of two models is better, tested on runs.

The text is made of the results: whether a claim shows is said by the interval
of a difference.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from avl_jax.reports import comparison, page
from avl_jax.retrieval import metrics
from avl_jax.retrieval.evaluation import Retrieval
from avl_jax.retrieval.result import whole

Results = Mapping[str, Sequence[Sequence[Retrieval]]]  # see comparison
Printed = Sequence[tuple[str, str, float]]  # study, run, percent
Pairs = Sequence[tuple[str, str]]  # better run, worse run
Claims = Sequence[tuple[str, Pairs]]  # sentence, what it says
INTRODUCTION = (
  'R@10 of {task}, the mean of the seeds, beside the number that the thesis'
  ' prints for its own data and sizes: the order can be compared, the numbers'
  ' cannot. (1) is the best of a study. A claim shows if the 95 % interval of'
  ' each of its differences, a bootstrap over seeds and queries, is above 0.'
)


def blocks(
  results: Results, printed: Printed, claims: Claims
) -> Iterator[page.Block]:
  """A table of each study, and a sentence for each claim and evaluation.

  Args:
    results: run -> for each of its seeds the same retrievals in the same order.
      The first task of each evaluation counts.
    printed: what the thesis prints; if empty, there are no tables.
    claims: what the thesis claims; if empty, there are no sentences.
  """
  if not printed and not claims:
    return
  first = next(iter(results.values()))[0]
  task = first[0].task
  names = [r.evaluation for r in first if r.task == task]
  places = {
    name: [(r.evaluation, r.task) for r in first].index((name, task))
    for name in names
  }
  yield page.Heading(2, 'The order of the thesis, and the order here')
  yield page.Text(INTRODUCTION.format(task=task.label))
  for study in dict.fromkeys(study for study, _, _ in printed):
    yield page.Heading(3, study)
    yield _table(
      results, [(run, n) for s, run, n in printed if s == study], places
    )
  for name, place in places.items():
    yield page.Heading(3, f'{name}: what the thesis claims')
    for sentence, pairs in claims:
      yield page.Text(f'{sentence} {_verdict(results, pairs, place)}')


def rates(
  tried: Mapping[str, Mapping[float, float]], taken: Mapping[str, float]
) -> Iterator[page.Block]:
  """A table of the trials of learning rates, if there were any.

  Args:
    tried: run -> learning rate -> mean R@10 of the trial.
    taken: run -> learning rate.
  """
  if not tried:
    return
  columns = list(next(iter(tried.values())))
  yield page.Heading(2, 'Learning rates')
  yield page.Text(
    'Mean R@10 over the tasks after a trial with one seed, on examples that'
    ' decide nothing else. Each run has the learning rate of its best trial,'
    ' the first of them in a tie.'
  )
  yield page.Table(
    ('Run', *(f'{rate:g}' for rate in columns), 'Taken'),
    [
      (
        run,
        *(page.percent(scores[rate]) for rate in columns),
        f'{taken[run]:g}',
      )
      for run, scores in tried.items()
    ],
  )


def _table(
  results: Results,
  printed: Sequence[tuple[str, float]],
  places: Mapping[str, int],
) -> page.Table:
  """A row for each run of a study, the best of the thesis first."""
  printed = sorted(printed, key=lambda row: -row[1])
  runs = [run for run, _ in printed]
  columns = [[number for _, number in printed]]
  for place in places.values():
    hits = [_hits(results, run, place) for run in runs]
    columns.append([100 * float(x.mean()) for x in hits])
  cells = [
    [f'{x:.1f} ({1 + sum(other > x for other in column)})' for x in column]
    for column in columns
  ]
  rows = [list(row) for row in zip(runs, *cells, strict=True)]
  return page.Table(('Run', 'Thesis', *places), rows)


def _hits(results: Results, run: str, place: int) -> np.ndarray:
  """1 where a query's match is in the top 10, else 0: [seeds, queries]."""
  seeds = [seed[place] for seed in results[run]]
  hits = [comparison.hits(r, whole(r.results)) for r in seeds]
  return np.stack(hits).astype(float)


def _verdict(results: Results, pairs: Pairs, place: int) -> str:
  """Whether a claim shows here, and the differences of which it is made."""
  differences, uncertain, opposite = [], [], []
  for better, worse in pairs:
    gap = _hits(results, better, place) - _hits(results, worse, place)
    low, high = metrics.interval(gap)
    differences.append(
      f'{better} less {worse}: {100 * gap.mean():+.1f} points '
      f'({100 * low:+.1f} to {100 * high:+.1f})'
    )
    if high < 0:
      opposite.append(f'{worse} did better than {better}')
    elif low <= 0:
      uncertain.append(f'{better} and {worse}')
  verdict = 'This does not show here.'
  if not opposite and not uncertain:
    verdict = 'This shows here.'
  if opposite:
    verdict += f' {"; ".join(opposite)}.'
  if uncertain:
    verdict += f' No certain difference: {", ".join(uncertain)}.'
  return f'{verdict} {"; ".join(differences)}.'
