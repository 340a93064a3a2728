"""Evaluates a model on retrieval: embeds every example once and ranks them."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from avl_jax.features.media import Media
from avl_jax.files import write_atomically
from avl_jax.models.avlnet import AVLnet
from avl_jax.models.expressions import combine
from avl_jax.retrieval import embedding, metrics, ranking
from avl_jax.retrieval.embedding import Embedded
from avl_jax.retrieval.result import METRICS, MetricName, Result
from avl_jax.retrieval.task import Task


class EvalBatches(Protocol):
  """Batches of an evaluation, which can be iterated repeatedly.

  Each is a dict of the model's inputs with 'id' and 'subset', both str [n];
  see `embedding.make_embed_evaluation`.
  """

  def __iter__(self) -> Iterator[Mapping[str, np.ndarray]]: ...

  @property
  def num_examples(self) -> int:
    """Number of examples N on all hosts, padding not counted."""

  @property
  def num_queries(self) -> int:
    """Number of queries by the data set's own definition, or 0."""

  fingerprint: str  # of the examples
  networks: Mapping[str, str]  # stream -> name, where known

  @property
  def num_videos(self) -> int:
    """Number of videos that the clips are from; 0: they are no clips."""

  @property
  def has_media(self) -> bool:
    """Whether pictures and recordings can be shown."""

  @property
  def media(self) -> Sequence[Media]:
    """Media of the N examples, read when indexed."""


@dataclasses.dataclass(frozen=True)
class Retrieval:
  """One task on all N examples of an evaluation.

  Attributes:
    evaluation: its name.
    task: query and gallery.
    ids: str [N].
    subsets: str [N], the split that each example is from.
    ranks: int [N], 0-based rank of each query's correct match in the gallery;
      items of the same score rank before it.
    top: int [N, 5], gallery indices of the best five, best first.
    results: one for each subset of queries, each against all N items.
  """

  evaluation: str
  task: Task
  ids: Sequence[str] | np.ndarray
  subsets: Sequence[str] | np.ndarray
  ranks: np.ndarray
  top: np.ndarray
  results: tuple[Result, ...]


def retrieval(
  embedded: Embedded,
  name: str,
  *,
  tasks: Sequence[tuple[str, str]],
  ties: str = 'against',
  missing: str = 'skip',
  num_queries: int = 0,
  data: str = '',
) -> list[Retrieval]:
  """Evaluates every task: each subset's queries against all N items.

  Args:
    embedded: the examples.
    name: of the evaluation.
    tasks: (query, gallery) expressions over the embeddings.
    ties: how ties count in the results, see `metrics.ranks`.
    missing: how queries without media count in the ranks, see
      `metrics.summary`.
    num_queries: by the data set's own definition, those without media included
      (MSR-VTT: 1,000, of which 968 have sound); 0: the number of examples.
    data: fingerprint of the examples, kept in the results.

  Returns:
    One Retrieval for each task.

  Raises:
    ValueError: a task names an embedding that the model lacks.
  """
  retrievals, rankings = [], dict[Task, ranking.Ranking]()
  for task in (Task(*expressions) for expressions in tasks):
    if task not in rankings:  # One product ranks both directions.
      both = task, Task(task.gallery, task.query)
      sides = (combine(embedded.embeddings, each.query) for each in both)
      rankings |= zip(both, ranking.rank_both_ways(*sides), strict=True)
    better, equal, top = rankings[task]
    facts = {'evaluation': name, 'data': data, 'task': task, 'missing': missing}
    results = [
      _result(
        metrics.ranks(better[chosen], equal[chosen], ties=ties),
        queries=queries,
        gallery=len(better),
        subset=subset,
        **facts,
      )
      for subset, chosen, queries in _subsets(embedded.subsets, num_queries)
    ]
    retrievals.append(
      Retrieval(
        evaluation=name,
        task=task,
        ids=embedded.ids,
        subsets=embedded.subsets,
        ranks=metrics.ranks(better, equal),
        top=top,
        results=tuple(results),
      )
    )
  return retrievals


def _subsets(
  subsets: np.ndarray, num_queries: int
) -> Iterator[tuple[str, np.ndarray, int]]:
  """Each subset, and 'all' if there are several: name, bool [N], queries."""
  names = list(dict.fromkeys(subsets.tolist()))
  # A split may have that name.
  whole = 'all splits' if 'all' in names else 'all'
  whole = whole if len(names) > 1 else names[0]
  for name in dict.fromkeys([*names, whole]):
    chosen = (subsets == name) | (name == whole)
    queries = int(chosen.sum())
    yield name, chosen, max(queries, num_queries * (name == whole))


def _result(
  ranks: np.ndarray, *, queries: int, gallery: int, missing: str, **facts: Any
) -> Result:
  """Result from 0-based ranks, see `metrics.summary`."""
  numbers = metrics.summary(
    ranks, queries=queries, gallery=gallery, missing=missing
  )
  return Result(
    **facts,
    queries=queries,
    gallery=gallery,
    recall_at_1=numbers['R@1'],
    recall_at_5=numbers['R@5'],
    recall_at_10=numbers['R@10'],
    median_rank=numbers['median_rank'],
    mean_rank=numbers['mean_rank'],
    chance_recall_at_10=min(10, gallery) / gallery,
  )


def make_evaluate(
  model: AVLnet,
  evaluations: Mapping[str, EvalBatches],
  before_batch: Callable[[], None] = lambda: None,
  **options: Any,
) -> Callable[[Mapping], list[Retrieval]]:
  """Returns evaluate(variables) -> every task on every evaluation.

  Example:
    evaluate = make_evaluate(model, evaluations, tasks=(('audio', 'video'),))
    for retrieval in evaluate(variables):
      print(retrieval.task.label, retrieval.results[-1].recall_at_10)

  Args:
    model: see AVLnet.
    evaluations: name -> batches.
    before_batch: see `embedding.make_embed_evaluation`.
    **options: of `retrieval`, e.g. `tasks=(('audio', 'video'),)`.
  """
  embed = embedding.make_embed_evaluation(model, before_batch)

  def evaluate(variables: Mapping) -> list[Retrieval]:
    return [
      result
      for name, batches in evaluations.items()
      for result in retrieval(
        embed(variables, batches, batches.num_examples),
        name,
        num_queries=batches.num_queries,
        data=batches.fingerprint,
        **options,
      )
    ]

  return evaluate


def media_of(
  evaluations: Mapping[str, EvalBatches],
) -> dict[str, Sequence[Media]]:
  """Media by evaluation, of those evaluations that have any."""
  return {
    name: batches.media
    for name, batches in evaluations.items()
    if batches.has_media
  }


def scalars(retrievals: Iterable[Retrieval]) -> dict[str, float]:
  """Metrics to log: 'human/test/audio_to_video/R@10' and so on."""
  return {
    str(MetricName(r.evaluation, r.subset, r.task, name)): float(r.metric(name))
    for retrieval in retrievals
    for r in retrieval.results
    for name in METRICS
  }


def fingerprint(variables: Mapping) -> str:
  """Fingerprint of a model's variables, independent of their file."""
  digest = hashlib.sha256()
  for path, leaf in jax.tree.leaves_with_path(variables):
    digest.update(jax.tree_util.keystr(path).encode())
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()[:16]


def write_record(
  path: str | os.PathLike, retrievals: Iterable[Retrieval], facts: Mapping
) -> None:
  """Writes evaluation.json: the results and facts (model, data, step)."""
  rows = [row.to_json() for result in retrievals for row in result.results]
  record = {'facts': dict(facts), 'rows': rows}
  write_atomically(path, json.dumps(record, indent=2) + '\n')
