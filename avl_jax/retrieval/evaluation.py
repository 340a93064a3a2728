"""Retrieval: embed every example once, rank, count."""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avl_jax import multihost, parallel
from avl_jax.files import write_atomically
from avl_jax.models.avlnet import AVLnet
from avl_jax.models.expressions import combine
from avl_jax.retrieval import metrics


@dataclasses.dataclass(frozen=True)
class Embedded:
  """Every example of an evaluation.

  Attributes:
    embeddings: modality -> float32 [N, D].
    ids: str [N].
    subsets: str [N], the split that each is from.
  """

  embeddings: Mapping[str, np.ndarray]
  ids: np.ndarray
  subsets: np.ndarray


@dataclasses.dataclass(frozen=True)
class Retrieval:
  """One direction of retrieval over all N examples of an evaluation.

  Attributes:
    name: of the evaluation.
    query: expression over the embeddings, 'audio' or 'audio+video'.
    gallery: likewise.
    ids: str [N].
    subsets: str [N].
    ranks: int [N], 0-based rank of each example's partner in the gallery, ties
      counting against it.
    top: int [N, 5], gallery indices of the best five, best first.
    rows: a table: one row a subset of queries, each against all N.
  """

  name: str
  query: str
  gallery: str
  ids: np.ndarray
  subsets: np.ndarray
  ranks: np.ndarray
  top: np.ndarray
  rows: tuple[dict, ...]


def make_embed(
  model: AVLnet, between: Callable[[], None] = lambda: None
) -> Callable:
  """Returns embed(variables, batches, num_examples=None) -> Embedded.

  The work is spread over all devices of all hosts; every host gets all.

  Args:
    model: see AVLnet.
    between: called before each batch; what it raises ends the embedding.

  `embed` takes this host's batches, as many on each host, and the number of
  examples, behind which the last host's are padding; None: all count. It raises
  ValueError if an id comes twice or an embedding is not finite.
  """
  forward = parallel.pmap_forward(
    lambda variables, batch: model.apply(variables, batch, train=False)
  )

  def embed(
    variables, batches: Iterable[Mapping], num_examples: int | None = None
  ) -> Embedded:
    parts = []
    for batch in batches:
      between()
      inputs = {
        key: value
        for key, value in batch.items()
        if key not in ('id', 'subset')
      }
      parts.append((forward(variables, inputs), batch['id'], batch['subset']))
    joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    embeddings, ids, subsets = jax.tree.map(
      lambda x: x[:num_examples], multihost.from_all(joined)
    )
    for name, x in embeddings.items():
      if not np.isfinite(x).all():
        raise ValueError(f'the {name} embeddings are not all finite')
    if len(np.unique(ids)) < len(ids):
      raise ValueError('an id comes twice in the evaluation')
    return Embedded(embeddings, ids, subsets)

  return embed


@functools.partial(jax.jit, static_argnums=2)
def _scores(
  queries: jax.Array, gallery: jax.Array, top: int
) -> tuple[jax.Array, jax.Array]:
  scores = jnp.matmul(
    queries,
    gallery.T,
    precision=jax.lax.Precision.HIGHEST,
    preferred_element_type=jnp.float32,
  )
  return scores, jax.lax.top_k(scores, top)[1]


def compare(
  queries: np.ndarray,
  gallery: np.ndarray,
  *,
  block: int = 512,
  top: int = 5,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Compares queries with a gallery whose item i is the partner of query i.

  Never holds more than block x N scores.

  Args:
    queries: float32 [N, D].
    gallery: float32 [N, D].
    block: number of queries scored at a time.
    top: how many best items to return.

  Returns:
    int [N] better and int [N] equal items (see `metrics.counts`), and the best
    items int [N, min(top, N)].

  Raises:
    ValueError: a score is NaN.
  """
  on_device = jnp.asarray(gallery)
  counts, best = [], []
  for start in range(0, len(queries), block):
    chosen = queries[start : start + block]
    # One shape for every block: a ragged last one would compile again.
    padded = np.pad(chosen, ((0, block - len(chosen)), (0, 0)))
    scores, order = _scores(padded, on_device, min(top, len(gallery)))
    scores = np.asarray(scores)[: len(chosen)]
    partners = np.arange(start, start + len(chosen))
    if np.isnan(scores).any():
      raise ValueError('NaN among the scores')
    counts.append(metrics.counts(scores, partners))
    best.append(np.asarray(order)[: len(chosen)])
  better, equal = map(np.concatenate, zip(*counts, strict=True))
  return better, equal, np.concatenate(best)


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
  """Every task on one evaluation: each subset's queries against all N items.

  Args:
    embedded: the examples.
    name: of the evaluation.
    tasks: (query, gallery) expressions over the embeddings.
    ties: of the rows' numbers, see `metrics.ranks`.
    missing: what queries without media do to the ranks, see `metrics.summary`.
    num_queries: of the data set's own definition, those without media included
      (MSR-VTT: 1,000 where 968 have sound); 0: the examples are all there is.
    data: fingerprint of the examples, which the rows carry.

  Returns:
    One Retrieval a task.

  Raises:
    ValueError: an expression names an embedding that the model lacks.
  """
  results = []
  for query, gallery in tasks:
    better, equal, top = compare(
      combine(embedded.embeddings, query),
      combine(embedded.embeddings, gallery),
    )
    rows = _rows(
      {
        'evaluation': name,
        'data': data,
        'task': f'{query} -> {gallery}',
      },
      embedded.subsets,
      lambda chosen, better=better, equal=equal: metrics.ranks(
        better[chosen], equal[chosen], ties=ties
      ),
      {'missing': missing, 'gallery': len(better)},
      num_queries,
    )
    results.append(
      Retrieval(
        name,
        query,
        gallery,
        embedded.ids,
        embedded.subsets,
        metrics.ranks(better, equal),
        top,
        tuple(rows),
      )
    )
  return results


def make_evaluate(
  model: AVLnet,
  evaluations: Mapping[str, Any],
  between: Callable[[], None] = lambda: None,
  **options: Any,
) -> Callable[[Mapping], list[Retrieval]]:
  """Returns evaluate(variables): all tasks on all evaluations.

  Args:
    model: see AVLnet.
    evaluations: name -> batches, which can be iterated again and again and
      know their `num_examples`, `num_queries` and `fingerprint`.
    between: see `make_embed`.
    **options: of `retrieval`.
  """
  embed = make_embed(model, between)

  def run(variables: Mapping) -> list[Retrieval]:
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

  return run


def _rows(facts, subsets, ranks, options, num_queries) -> Iterable[dict]:
  """A row for each subset, and for all together if there are several."""
  gallery, labels = len(subsets), list(dict.fromkeys(subsets.tolist()))
  whole = 'all' if len(labels) > 1 else labels[0]
  for label in dict.fromkeys([*labels, whole]):
    chosen = (subsets == label) | (label == whole)
    queries = int(chosen.sum())
    if label == whole:
      queries = max(queries, num_queries)
    yield {
      **facts,
      'subset': label,
      'queries': queries,
      'gallery': gallery,
      **metrics.summary(ranks(chosen), queries=queries, **options),
      'chance_R@10': min(10, gallery) / gallery,
    }


def scalars(retrievals: Iterable[Retrieval]) -> dict[str, float]:
  """Numbers to log: 'human/test/audio_to_video/R@10' and so on."""
  return {
    f'{row["evaluation"]}/{row["subset"]}/'
    f'{result.query}_to_{result.gallery}/{key}': float(row[key])
    for result in retrievals
    for row in result.rows
    for key in ('R@1', 'R@5', 'R@10', 'median_rank')
  }


def fingerprint(variables: Mapping) -> str:
  """Of the numbers of a model, whatever file they came from."""
  digest = hashlib.sha256()
  for path, leaf in jax.tree.leaves_with_path(variables):
    digest.update(jax.tree_util.keystr(path).encode())
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()[:16]


def write_record(
  path: str | os.PathLike, retrievals: Iterable[Retrieval], facts: Mapping
) -> None:
  """Writes the rows and what they are about (model, data, step) as JSON."""
  rows = [row for result in retrievals for row in result.rows]
  record = {'facts': dict(facts), 'rows': rows}
  write_atomically(path, json.dumps(record, indent=2) + '\n')
