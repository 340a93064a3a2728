"""The processes of a run on several hosts, and what they tell each other."""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from avl_jax.errors import UserError

Tree = Any
HEARTBEAT = 30  # seconds without a sign of life after which a host is given up
# What srun and mpirun say: the number of processes.
_LAUNCHERS = ('SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_SIZE')


def connect(coordinator: str, num_processes: int, process_id: int) -> None:
  """Joins the processes of a run on several hosts; alone if there are none.

  Must come before anything that touches a device. Slurm (srun) and Open MPI
  (mpirun) say in the environment what is to be said.

  Args:
    coordinator: 'HOST:PORT' of process 0, which listens there; '': ask the
      launcher.
    num_processes: of the run.
    process_id: of this process, from 0.

  Raises:
    UserError: the others did not come, or the launcher says too little.
  """
  launched = any(int(os.environ.get(name, '1')) > 1 for name in _LAUNCHERS)
  if not coordinator and not launched:
    return
  # Its own handler of SIGTERM would take the place of ours.
  jax.config.update('jax_enable_preemption_service', False)
  try:
    jax.distributed.initialize(
      coordinator or None,
      num_processes if coordinator else None,
      process_id if coordinator else None,
      heartbeat_timeout_seconds=HEARTBEAT,
      shutdown_timeout_seconds=HEARTBEAT,
    )
  except (RuntimeError, ValueError) as error:
    raise UserError(
      f'the processes of this run could not join: {error}. Start one on each '
      'host with srun or mpirun, or name --coordinator=HOST:PORT, '
      '--num_processes and --process_id to each'
    ) from error


@contextlib.contextmanager
def together() -> Iterator[None]:
  """What goes wrong on one host ends all of them, and is said plainly.

  Raises:
    UserError: another host is gone.
  """
  try:
    yield
  except Exception as error:
    if jax.process_count() == 1 or isinstance(error, UserError):
      raise
    if not isinstance(error, jax.errors.JaxRuntimeError):
      leave(''.join(traceback.format_exception(error)))
    raise UserError(
      f'another process of this run is gone: {error}\nStart all again with the '
      'same command; they go on from the last checkpoint'
    ) from error


def leave(message: str) -> NoReturn:
  """Ends this process with a message and 1; the others then end too."""
  if jax.process_count() == 1:
    sys.exit(message)
  print(message, file=sys.stderr, flush=True)
  os._exit(1)  # Without waiting for the others, which wait for this one.


def this() -> tuple[int, int]:
  """(index, count) of this process among the hosts of the run."""
  return jax.process_index(), jax.process_count()


def is_first() -> bool:
  """Whether this process writes the files of the run."""
  return jax.process_index() == 0


def wait(what: str) -> None:
  """Returns when all hosts have come here."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(what)


def largest(number: int) -> int:
  """The largest of all hosts' numbers."""
  if jax.process_count() == 1:
    return number
  return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def from_first(tree: Tree) -> Tree:
  """The first host's arrays, to the bit, on every host; as numpy arrays.

  Args:
    tree: arrays of the same shapes and types on all hosts.
  """
  if jax.process_count() == 1:
    return jax.tree.map(np.asarray, tree)
  # As bytes: the broadcast is a sum, and -0.0 + 0.0 is 0.0.
  data = jax.tree.map(
    lambda x: np.frombuffer(np.asarray(x).tobytes(), np.uint8), tree
  )
  return jax.tree.map(
    lambda x, y: np.frombuffer(y.tobytes(), x.dtype).reshape(x.shape),
    jax.tree.map(np.asarray, tree),
    multihost_utils.broadcast_one_to_all(data),
  )


def from_all(tree: Tree) -> Tree:
  """Numpy arrays [n, ...] of all hosts joined, in the order of the hosts.

  Args:
    tree: arrays of numbers or str, as many examples on each host.
  """
  if jax.process_count() == 1:
    return tree

  def gather(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind != 'U':
      return multihost_utils.process_allgather(x, tiled=True)
    width = largest(x.dtype.itemsize)
    codes = x.astype(f'U{width // 4}').view(np.uint32).reshape(len(x), -1)
    codes = multihost_utils.process_allgather(codes, tiled=True)
    return np.ascontiguousarray(codes).view(f'U{width // 4}')[:, 0]

  return jax.tree.map(gather, tree)
