"""Ranks in both directions from one product, tile by tile on all devices."""

from typing import NamedTuple

import jax
import numpy as np

from avl_jax import multihost, parallel
from avl_jax.errors import ConfigError
from avl_jax.retrieval import tiles
from avl_jax.retrieval.tiles import Part, Tile


class Ranking(NamedTuple):
  """A gallery of N items, ranked for each of N queries.

  Attributes:
    better: int64 [N], items that score more than the correct match.
    equal: int64 [N], items that score the same, itself included; 0 where its
      score is not finite. See `metrics.ranks`.
    best: int [N, k], gallery indices of the best items, best first. Of items
      that score the same, the first in the gallery is first.
  """

  better: np.ndarray
  equal: np.ndarray
  best: np.ndarray


def rank_both_ways(
  x: np.ndarray, y: np.ndarray, *, block: int = 1024, top: int = 5
) -> tuple[Ranking, Ranking]:
  """Ranks y for each row of x, and x for each row of y.

  Row i's correct match is row i. The score is the dot product, in float32.
  Each score is computed once, in square tiles, and one compiled program
  computes all tiles: equal rows have equal scores, to the last bit, wherever
  they are. All devices of all hosts share the work. Each keeps its part of y,
  and gets x piece by piece; all hosts must give the same arrays.

  Args:
    x: float32 [N, D].
    y: float32 [N, D].
    block: most rows of a tile, which are also its columns, rounded up to a
      multiple of `tiles.GROUP`.
    top: k, number of best items to return; fewer if N is smaller.

  Returns:
    The ranking of y for the rows of x, and that of x for the rows of y, on
    all hosts.

  Raises:
    ConfigError: there are no rows.
    ValueError: a score is NaN.
  """
  if not len(x):
    raise ConfigError(
      'The gallery of an evaluation is empty. Choose other datasets or splits '
      'for it in eval_data.evaluations.'
    )
  host, hosts = multihost.this()
  each = -(-len(x) // (block * hosts))  # tiles of a host in a row of them
  size = -(-len(x) // (each * hosts * tiles.GROUP)) * tiles.GROUP
  top = min(top, len(x))
  mine = range(host * each, (host + 1) * each)
  *parts, is_nan, own = _rank(x, y, size, each * hosts, mine, top)
  *parts, is_nan = multihost.from_all((*parts, np.array([is_nan])))
  if is_nan.any():
    raise ValueError(
      'A score is NaN. Expected finite embeddings. Check the checkpoint, then '
      'the records.'
    )
  # Each host has seen all x for its own y, but only these y for all x.
  of_x, of_y = parts
  split = (np.split(array, hosts) for array in of_x)
  of_x = _join([Part(*arrays) for arrays in zip(*split, strict=True)], top)
  return _ranking(of_x, own, len(x)), _ranking(of_y, own, len(x))


def _rank(
  x: np.ndarray, y: np.ndarray, size: int, count: int, mine: range, top: int
) -> tuple[Part, Part, bool, np.ndarray]:
  """Ranks for this host's part of y.

  Args:
    x: float32 [N, D].
    y: float32 [N, D].
    size: n, rows and columns of a tile.
    count: number of tiles of a row of tiles.
    mine: this host's of them.
    top: k of the result.

  Returns:
    The rankings of all x among this host's y, and of these y among all x;
    whether a score is NaN; float32 [n * count] scores of the correct matches.
    Rows from N on are padding.
  """
  devices = parallel.local_devices()
  device_of = {j: devices[j % len(devices)] for j in range(count)}
  kept = {j: _piece(y, j, size, device_of[j]) for j in mine}

  def tile(i: int, j: int, rows: jax.Array, own: np.ndarray) -> Tile:
    columns = kept[j] if j in kept else _piece(y, j, size, device_of[j])
    starts = size * np.array([i, j], np.int32)
    return tiles.compute(rows, columns, own[i], own[j], starts, len(x), top)

  # The diagonal first: it holds the scores of the correct matches. A host
  # computes all of it, as its processor may round otherwise than another's.
  own = np.zeros((count, size), np.float32)
  diagonal = []
  for j, device in device_of.items():
    found = tile(j, j, _piece(x, j, size, device), own)
    diagonal.append(jax.device_get(found))
  own[:] = [found.diagonal for found in diagonal]
  is_nan, rows, columns = False, [], {j: [] for j in mine}
  for i in range(count):
    pieces = {
      device: _piece(x, i, size, device)
      for device in dict.fromkeys(device_of[j] for j in mine)
    }
    row = jax.device_get(
      [
        diagonal[i] if i == j else tile(i, j, pieces[device_of[j]], own)
        for j in mine
      ]
    )
    is_nan |= any(found.is_nan for found in row)
    rows.append(_join([found.of_x for found in row], top))
    for j, found in zip(mine, row, strict=True):
      columns[j] = [_join([*columns[j], found.of_y], top)]
  of_x, of_y = (
    jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    for parts in (rows, [part for (part,) in columns.values()])
  )
  return of_x, of_y, bool(is_nan), own.ravel()


def _piece(
  array: np.ndarray, number: int, size: int, device: jax.Device
) -> jax.Array:
  """Rows [size, D] of a piece, on a device; zeros where there are none."""
  rows = array[number * size : (number + 1) * size]
  padded = np.pad(rows, ((0, size - len(rows)), (0, 0)))
  return jax.device_put(padded, device)


def _join(parts: list[Part], top: int) -> Part:
  """Joins rankings among items, in the order of the gallery, of the same n."""
  better, equal, scores, best = zip(*parts, strict=True)
  joined = np.concatenate(scores, axis=1)
  order = np.argsort(-joined, axis=1, kind='stable')[:, :top]
  return Part(
    np.stack(better).sum(0, dtype=np.int32),
    np.stack(equal).sum(0, dtype=np.int32),
    np.take_along_axis(joined, order, axis=1),
    np.take_along_axis(np.concatenate(best, axis=1), order, axis=1),
  )


def _ranking(part: Part, own: np.ndarray, count: int) -> Ranking:
  """The result for the first `count` queries, without the padding."""
  equal = np.where(np.isfinite(own), part.equal, 0)
  return Ranking(
    np.asarray(part.better[:count], np.int64),
    equal[:count].astype(np.int64),
    np.asarray(part.best[:count]),
  )
