"""Ranks a gallery for queries, block by block on the device."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from avl_jax.errors import ConfigError
from avl_jax.retrieval import metrics


@functools.partial(jax.jit, static_argnums=2)
def _scores(
  queries: jax.Array, gallery: jax.Array, top: int
) -> tuple[jax.Array, jax.Array]:
  """Scores float32 [n, N] of [n, D] and [N, D]; indices [n, top]."""
  scores = jnp.matmul(
    queries,
    gallery.T,
    precision=jax.lax.Precision.HIGHEST,
    preferred_element_type=jnp.float32,
  )  # [n, D] @ [D, N] -> [n, N]
  return scores, jax.lax.top_k(scores, top)[1]


def rank_against_gallery(
  queries: np.ndarray,
  gallery: np.ndarray,
  *,
  block: int = 512,
  top: int = 5,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Ranks a gallery for each query. Query i's correct match is item i.

  The score is the dot product, in float32. At most block x N scores are held
  at a time.

  Args:
    queries: float32 [N, D].
    gallery: float32 [N, D].
    block: number of queries scored at a time.
    top: number of best items to return.

  Returns:
    better: int64 [N], items that score more than the correct match.
    equal: int64 [N], items that score the same, itself included; see
      `metrics.counts`.
    best: int [N, min(top, N)], gallery indices of the best items, best first.

  Raises:
    ConfigError: the gallery is empty.
    ValueError: a score is NaN.
  """
  if not len(gallery):
    raise ConfigError(
      'The gallery of an evaluation is empty. Choose other datasets or splits '
      'for it in eval_data.evaluations.'
    )
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
      raise ValueError('A score is NaN. The embeddings are not all finite.')
    counts.append(metrics.counts(scores, partners))
    best.append(np.asarray(order)[: len(chosen)])
  better, equal = map(np.concatenate, zip(*counts, strict=True))
  return better, equal, np.concatenate(best)
