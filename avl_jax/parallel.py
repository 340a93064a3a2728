"""Data parallelism over devices: `jax.pmap`, its axis, its collectives.

No other module uses pmap or its axis; collectives are also in BatchNorm. The
state is not mapped (`in_axes=None`, `out_axes=None`), so parameters have no
leading device axis. Batches are mapped over their first axis.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import flax.jax_utils
import jax
import jax.numpy as jnp
import numpy as np

from avl_jax.errors import UserError

AXIS = 'devices'
Tree = Any


def devices() -> list[jax.Device]:
  """Devices of all processes; all functions of this module use them."""
  return jax.devices()


def local_devices() -> list[jax.Device]:
  """Devices of this process."""
  here = jax.process_index()
  return [device for device in devices() if device.process_index == here]


def replicate(tree: Tree) -> Tree:
  """Puts one copy of each array on every device of this process.

  The sharding equals that of the states which a `pmap_step` returns; with
  another one the second step would compile again.
  """
  mesh = jax.sharding.Mesh(np.array(local_devices()), (AXIS,))
  sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  return jax.device_put(tree, sharding)


def check_divisible(batch_size: int, count: int = 0, pieces: int = 1) -> None:
  """Raises UserError unless a batch splits evenly over devices and pieces.

  Args:
    batch_size: number of clips.
    count: number of devices; 0: all.
    pieces: of each device's share.
  """
  count = count or len(devices())
  if batch_size % (count * pieces):
    each = f' of {pieces} pieces each (train.pieces)' if pieces > 1 else ''
    raise UserError(
      f'A batch of {batch_size} clips cannot be split evenly over {count} '
      f'devices{each}. Choose a batch size that is divisible by '
      f'{count * pieces}.'
    )


def shard(batch: Tree) -> Tree:
  """Reshapes arrays [n, ...] to [devices, n / devices, ...].

  Args:
    batch: arrays of this process.

  Raises:
    UserError: n is not divisible by the number of this process' devices.
  """
  count = len(local_devices())

  def split(x: np.ndarray) -> np.ndarray:
    check_divisible(len(x), count)
    return x.reshape(count, len(x) // count, *x.shape[1:])

  return jax.tree.map(split, batch)


def prefetch(batches: Iterable[Tree], size: int = 2) -> Iterator[Tree]:
  """Shards batches and copies them to the devices, `size` in advance."""
  return flax.jax_utils.prefetch_to_device(
    map(shard, batches), size, local_devices()
  )


def pmap_step(step: Callable) -> Callable:
  """Maps `step(state, batch) -> (state, metrics)` over the devices.

  The memory of the given state is reused for the new state.

  Args:
    step: gets the whole state and one device's share of the batch. Its results
      must be equal on all devices (reduce with `mean`), because
      `out_axes=None` returns the first device's value unchecked.
  """
  return jax.pmap(
    step,
    axis_name=AXIS,
    in_axes=(None, 0),
    out_axes=None,
    donate_argnums=(0,),
    devices=devices(),
  )


def pmap_forward(forward: Callable) -> Callable:
  """Maps `forward(variables, batch) -> tree of [n, ...]` over the devices.

  The mapped function takes and returns this process' unsharded arrays [N, ...]
  for any N, which must be the same in all processes: batches are padded to
  fill the devices, and the padding is removed from the results. Smaller batches
  are padded to the largest size so far of batches with the same keys, so
  usually one shape is compiled for each set of keys.

  Accelerators multiply float32 in full precision here; by default GPUs would
  use TF32 and TPUs bfloat16.
  """
  mapped = jax.pmap(
    forward, axis_name=AXIS, in_axes=(None, 0), devices=devices()
  )
  sizes: dict[frozenset, int] = {}

  def call(variables: Tree, batch: Mapping) -> Tree:
    count = len(jax.tree.leaves(batch)[0])
    here = len(local_devices())
    keys = frozenset(batch)
    size = max(sizes.get(keys, 0), -(-count // here) * here)
    sizes[keys] = size
    # Repeats the last example. Zeros would be loud: 0 dB is the maximum.
    padded = jax.tree.map(
      lambda x: np.concatenate([x, np.repeat(x[-1:], size - count, 0)]), batch
    )
    with _full_precision():
      mapped_out = mapped(variables, shard(padded))
    return jax.tree.map(
      lambda x: np.asarray(x).reshape(size, *x.shape[2:])[:count], mapped_out
    )

  return call


def _full_precision() -> contextlib.AbstractContextManager:
  """Context of float32 products; none on CPUs, which have no others."""
  if devices()[0].platform == 'cpu':
    return contextlib.nullcontext()
  return jax.default_matmul_precision('float32')


def mean(tree: Tree) -> Tree:
  """Mean over the devices; inside a mapped step."""
  return jax.lax.pmean(tree, AXIS)


def on_all_devices(condition: jax.Array) -> jax.Array:
  """Whether a bool is true on all devices; inside a mapped step."""
  return jax.lax.pmin(condition.astype(jnp.int32), AXIS) > 0


def of_first_device(tree: Tree) -> Tree:
  """The first device's values, on all devices; inside a mapped step."""
  first = jax.lax.axis_index(AXIS) == 0
  return jax.tree.map(
    lambda x: jax.lax.psum(jnp.where(first, x, jnp.zeros_like(x)), AXIS), tree
  )


def gather(x: jax.Array) -> jax.Array:
  """Joins arrays [n, ...] of all devices to [N, ...]; inside a mapped step.

  Gradients flow back to each device's part.
  """
  return jax.lax.all_gather(x, AXIS, tiled=True)


def gathered_scores(
  x: jax.Array, y: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Scores of this device's n pairs against the N pairs of all devices.

  Gradients flow through the gathered side too: the mean over devices of a
  loss of these scores has the gradient of the whole batch on one device. Runs
  inside a mapped step.

  Args:
    x: [n, D] embeddings of one side of n pairs.
    y: [n, D] embeddings of the other side.

  Returns:
    rows [n, N] = x_i . y_j, columns [n, N] = y_i . x_j, both float32 or wider
    with full-precision products, and partners int32 [n], the index in N of
    each local pair.
  """
  return scores(x, gather(y)), scores(y, gather(x)), partners(len(x))


def scores(local: jax.Array, everyone: jax.Array) -> jax.Array:
  """Scores of [n, D] embeddings against [N, D], [n, N], as above."""
  return jnp.matmul(  # [n, D] @ [D, N] -> [n, N]
    local,
    everyone.T,
    precision=jax.lax.Precision.HIGHEST,
    preferred_element_type=jnp.promote_types(local.dtype, jnp.float32),
  )


def partners(count: int) -> jax.Array:
  """int32 [n], the index in N of each of a device's n = count pairs."""
  return jax.lax.axis_index(AXIS) * count + jnp.arange(count)
