"""Results of retrieval: a row of evaluation.json or comparison.json each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from avl_jax.retrieval.task import Task

METRICS = ('R@1', 'R@5', 'R@10', 'median_rank')  # logged during training
_KEYS = {  # attribute -> key in JSON files, where they differ
  'recall_at_1': 'R@1',
  'recall_at_5': 'R@5',
  'recall_at_10': 'R@10',
  'chance_recall_at_10': 'chance_R@10',
}
_ATTRIBUTES = {key: attribute for attribute, key in _KEYS.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
  """Metrics of one task on one subset of the queries of an evaluation.

  Recalls are fractions of `queries`; ranks start at 1. Metrics are NaN where
  there is no query.

  Attributes:
    evaluation: its name.
    data: fingerprint of its examples; '': unknown.
    task: query and gallery.
    subset: split that the queries are from, or 'all'.
    queries: number of queries, those without media included.
    gallery: number of gallery items.
    recall_at_1: fraction of queries whose correct match is ranked first.
    recall_at_5: fraction whose correct match is among the top 5.
    recall_at_10: fraction whose correct match is among the top 10.
    median_rank: of the correct matches.
    mean_rank: of the correct matches.
    chance_recall_at_10: `recall_at_10` of random ranking.
  """

  evaluation: str
  data: str = ''
  task: Task
  subset: str
  queries: int
  gallery: int
  recall_at_1: float
  recall_at_5: float
  recall_at_10: float
  median_rank: float
  mean_rank: float = math.nan
  chance_recall_at_10: float = math.nan

  def metric(self, name: str) -> float:
    """A metric by its name in JSON files, e.g. 'R@10' or 'median_rank'."""
    return getattr(self, _ATTRIBUTES.get(name, name))

  def to_json(self) -> dict[str, Any]:
    """The row of a JSON file: 'task': 'audio -> video', 'R@10', ..."""
    row = {
      _KEYS.get(field.name, field.name): getattr(self, field.name)
      for field in dataclasses.fields(self)
    }
    return row | {'task': self.task.title}

  @classmethod
  def from_json(cls, row: Mapping[str, Any]) -> Result:
    """Reads what `to_json` wrote. Keys that are not the result's are ignored.

    Raises:
      ValueError: the row lacks a key that has no default, or its task is none.
    """
    values, missing = {}, []
    for field in dataclasses.fields(cls):
      key = _KEYS.get(field.name, field.name)
      if key in row:
        values[field.name] = row[key]
      elif field.default is dataclasses.MISSING:
        missing.append(key)
    if missing:
      raise ValueError(f'A result lacks the keys {", ".join(missing)}.')
    return cls(**values | {'task': Task.from_title(row['task'])})


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunResult(Result):
  """Result of a run of a comparison: recalls and median rank averaged.

  Attributes:
    run: its name.
    seeds: number of seeds averaged over.
    low: lower bound of the 95 % interval of `recall_at_10`.
    high: upper bound.
  """

  run: str
  seeds: int
  low: float
  high: float


@dataclasses.dataclass(frozen=True)
class MetricName:
  """Name of a logged metric: 'human/test/audio_to_video/R@10'."""

  evaluation: str
  subset: str
  task: Task
  metric: str

  def __str__(self) -> str:
    return f'{self.evaluation}/{self.subset}/{self.task.key}/{self.metric}'

  @classmethod
  def parse(cls, name: str) -> MetricName | None:
    """Parts of a name; None for other names, such as 'loss'."""
    try:
      evaluation, subset, task, metric = name.split('/')
      return cls(evaluation, subset, Task.from_key(task), metric)
    except ValueError:
      return None


def whole(results: Iterable[Result]) -> Result:
  """The result of all queries, where subsets have results too."""
  return max(results, key=lambda result: result.queries)
