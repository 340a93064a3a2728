"""Ranks, recalls and their confidence interval, in numpy."""

import numpy as np
from jaxtyping import Bool, Float, Int

from avl_jax.errors import ConfigError

TIES = ('against', 'release')
MISSING = ('skip', 'last')
BOOTSTRAP_SAMPLES = 2_000


def counts(
  scores: Float[np.ndarray, 'n N'], partners: Int[np.ndarray, ' n']
) -> tuple[Int[np.ndarray, ' n'], Int[np.ndarray, ' n']]:
  """Counts gallery items that score more than, and as much as, the match.

  Args:
    scores: of n queries against N gallery items; higher is better.
    partners: index in N of each query's correct match.

  Returns:
    int64 [n] better and int64 [n] equal; `equal` counts the correct match
    itself, and is 0 where its score is not finite.
  """
  own = scores[np.arange(len(scores)), partners]
  better = np.count_nonzero(scores > own[:, None], axis=1)
  equal = np.count_nonzero(scores == own[:, None], axis=1)
  return better, np.where(np.isfinite(own), equal, 0)


def ranks(
  better: Int[np.ndarray, ' n'],
  equal: Int[np.ndarray, ' n'],
  *,
  ties: str = 'against',
) -> Int[np.ndarray, ' m']:
  """0-based ranks of the correct matches, from `counts`.

  Args:
    better: items that score more than the correct match.
    equal: items that score the same, itself included.
    ties: 'against': an item that scores the same as the correct match ranks
      before it, so a model that returns a constant has the worst rank.
      'release': every position of the tied items counts as a rank of its own,
      and a query whose correct match has a score that is not finite has none
      (`metrics.py` of the release); the result is then not of length n.

  Returns:
    int64 [n]; with ties='release' int64 [number of positions].

  Raises:
    ConfigError: `ties` is unknown.
    ValueError: a correct match's score is not finite and `ties` is 'against'.
  """
  if ties == 'against':
    if not equal.all():
      raise ValueError(
        'The score of a correct match is not finite. Embeddings must be finite.'
      )
    return better + equal - 1
  if ties != 'release':
    raise ConfigError(f'Invalid ties={ties!r}. Choose one of {TIES}.')
  positions = [
    np.arange(first, first + count)
    for first, count in zip(better, equal, strict=True)
  ]
  return np.concatenate([np.zeros(0, np.int64), *positions])


def summary(
  ranks: Int[np.ndarray, ' n'],
  *,
  queries: int | None = None,
  gallery: int | None = None,
  missing: str = 'skip',
) -> dict[str, float]:
  """Recalls, median rank and mean rank.

  Example:
    summary(np.array([0, 4, 20]))['R@5']  # 2 / 3

  Args:
    ranks: 0-based ranks of the queries that could be evaluated.
    queries: number of queries of the task, including those that are missing
      (a clip without audio), which count as mistakes in every recall. None:
      none is missing.
    gallery: gallery size, needed for missing='last'.
    missing: how missing queries count in median and mean rank: 'skip' ignores
      them as the release does, 'last' ranks them at gallery + 1.

  Returns:
    {'R@1', 'R@5', 'R@10': fractions of `queries`; 'median_rank',
    'mean_rank': 1-based}; NaN where there is no query.

  Raises:
    ConfigError: `missing` is unknown, or 'last' without `gallery`.
  """
  if missing not in MISSING:
    raise ConfigError(f'Invalid missing={missing!r}. Choose one of {MISSING}.')
  queries = len(ranks) if queries is None else queries
  present = np.asarray(ranks) + 1
  if missing == 'last':
    if gallery is None:
      raise ConfigError("missing='last' needs the gallery size. Pass gallery.")
    absent = np.full(max(queries - len(ranks), 0), gallery + 1)
    present = np.concatenate([present, absent])
  result = {
    f'R@{k}': np.count_nonzero(np.asarray(ranks) < k) / queries
    if queries
    else np.nan
    for k in (1, 5, 10)
  }
  result['median_rank'] = float(np.median(present)) if len(present) else np.nan
  result['mean_rank'] = float(np.mean(present)) if len(present) else np.nan
  return result


def interval(
  hits: Bool[np.ndarray, 'seeds queries'] | Float[np.ndarray, 'seeds queries'],
) -> tuple[float, float]:
  """95 % bootstrap interval of a recall, over queries and seeds.

  Queries and seeds are resampled with replacement. Every seed has the same
  queries in a sample, as in the measurement itself.

  Args:
    hits: whether a query's correct match is among the top k; or differences of
      that between two runs, -1, 0 or 1, for the interval of a difference.

  Returns:
    The 2.5th and 97.5th percentile of the means of `BOOTSTRAP_SAMPLES`
    samples.
  """
  seeds, queries = hits.shape
  rng = np.random.default_rng(0)
  weights = rng.multinomial(
    seeds, np.full(seeds, 1 / seeds), BOOTSTRAP_SAMPLES
  )  # [samples, seeds]
  counts = rng.multinomial(
    queries, np.full(queries, 1 / queries), BOOTSTRAP_SAMPLES
  )  # [samples, queries]
  # [samples, seeds] x [seeds, queries] -> [samples, queries], then the sum.
  means = ((weights @ hits) * counts).sum(1) / hits.size
  low, high = np.percentile(means, (2.5, 97.5))
  return float(low), float(high)
