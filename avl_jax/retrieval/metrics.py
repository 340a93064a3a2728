"""Ranks and recalls of retrieval, in numpy."""

import numpy as np

from avl_jax.errors import ConfigError

TIES = ('against', 'release')
MISSING = ('skip', 'last')
DRAWS = 2_000  # of the bootstrap


def counts(
  scores: np.ndarray, partners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """How many gallery items score more than, and as much as, the partner.

  Args:
    scores: [n, N] of n queries against N gallery items; higher is better.
    partners: int [n], index in N of each query's right item.

  Returns:
    int64 [n] better and int64 [n] equal; `equal` counts the partner itself,
    and is 0 where the partner's score is not finite.
  """
  own = scores[np.arange(len(scores)), partners]
  better = np.count_nonzero(scores > own[:, None], axis=1)
  equal = np.count_nonzero(scores == own[:, None], axis=1)
  return better, np.where(np.isfinite(own), equal, 0)


def ranks(
  better: np.ndarray, equal: np.ndarray, *, ties: str = 'against'
) -> np.ndarray:
  """0-based ranks of the partners, from `counts`.

  Args:
    better: int [n].
    equal: int [n].
    ties: 'against': an item that scores the same as the partner stands before
      it, so a model that returns a constant has the worst rank. 'release':
      every position of the tied items counts as a rank of its own, and a
      query whose partner's score is not finite has none (`metrics.py` of the
      release); the result is then not of length n.

  Returns:
    int64 [n]; with ties='release' int64 [number of positions].

  Raises:
    ConfigError: `ties` is unknown.
    ValueError: a partner's score is not finite and ties are not the release's.
  """
  if ties == 'against':
    if not equal.all():
      raise ValueError('a score is not finite: the embeddings are not either')
    return better + equal - 1
  if ties != 'release':
    raise ConfigError(f'ties must be one of {TIES}, not {ties!r}')
  positions = [
    np.arange(first, first + count)
    for first, count in zip(better, equal, strict=True)
  ]
  return np.concatenate([np.zeros(0, np.int64), *positions])


def summary(
  ranks: np.ndarray,
  *,
  queries: int | None = None,
  gallery: int | None = None,
  missing: str = 'skip',
) -> dict[str, float]:
  """Recalls and mean and median rank.

  Args:
    ranks: [n] 0-based ranks of the queries that could be asked.
    queries: number of queries of the task, those that are missing (a clip
      without audio) included: they count as mistakes in every recall. None:
      all were asked.
    gallery: gallery size, needed for missing='last'.
    missing: what missing queries do to median and mean rank: 'skip' them as
      the release does, or count them as ranked 'last', at gallery + 1.

  Returns:
    {'R@1', 'R@5', 'R@10': fractions of `queries`; 'median_rank',
    'mean_rank': 1-based}; NaN where there is no query.

  Raises:
    ConfigError: `missing` is unknown.
  """
  if missing not in MISSING:
    raise ConfigError(f'missing must be one of {MISSING}, not {missing!r}')
  queries = len(ranks) if queries is None else queries
  present = np.asarray(ranks) + 1
  if missing == 'last':
    absent = np.full(max(queries - len(ranks), 0), gallery + 1)
    present = np.concatenate([present, absent])
  result = {
    f'R@{k}': np.count_nonzero(np.asarray(ranks) < k) / queries
    if queries
    else np.nan
    for k in (1, 5, 10)
  }
  middle = (np.median, np.mean) if len(present) else (lambda _: np.nan,) * 2
  result['median_rank'], result['mean_rank'] = (
    float(f(present)) for f in middle
  )
  return result


def interval(hits: np.ndarray) -> tuple[float, float]:
  """95 % interval of a recall, over queries and seeds.

  A bootstrap: queries and seeds are drawn again with replacement, each seed
  meeting the same queries, as in the measurement itself.

  Args:
    hits: bool [seeds, queries], whether a query found its right one.

  Returns:
    The 2.5th and 97.5th percentile of the mean of `DRAWS` draws.
  """
  seeds, queries = hits.shape
  rng = np.random.default_rng(0)
  weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), DRAWS)
  counts = rng.multinomial(queries, np.full(queries, 1 / queries), DRAWS)
  means = ((weights @ hits) * counts).sum(1) / hits.size
  low, high = np.percentile(means, (2.5, 97.5))
  return float(low), float(high)
