"""Multi-process runs across hosts: initialization, barriers, collectives, log.

Broadcast and all-gather here are of numpy arrays, between processes; those of
devices are in `parallel`.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Generator
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from avl_jax import logs
from avl_jax.errors import UserError

Tree = Any
HEARTBEAT = 30  # seconds without a heartbeat after which a process is lost
# Where srun and mpirun give the number of processes.
_LAUNCHERS = ('SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_SIZE')


def connect(
  coordinator: str, num_processes: int | None, process_id: int | None
) -> None:
  """Joins the processes of a run; returns at once in a single-process run.

  Must be called before any device is used. Under Slurm (srun) and Open MPI
  (mpirun) the arguments come from the environment.

  Args:
    coordinator: 'HOST:PORT' where process 0 listens; '': from the launcher.
    num_processes: of the run; None, or unused, without `coordinator`.
    process_id: of this process, from 0; likewise.

  Raises:
    UserError: the other processes did not join in time, the launcher's
      variables are incomplete, or neither they nor `coordinator`
      come with the other arguments.
  """
  launched = any(int(os.environ.get(name, '1')) > 1 for name in _LAUNCHERS)
  if not coordinator and not launched:
    if (num_processes, process_id) == (None, None):
      return
    raise UserError(
      '--num_processes and --process_id are given without --coordinator. '
      'Expected all three or none. Add --coordinator=HOST:PORT, or start the '
      'processes with srun or mpirun, without these options.'
    )
  # JAX's own handler of SIGTERM would replace ours.
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
      f'The processes of this run could not connect: {error}. Start one '
      'process on each host with srun or mpirun, or pass '
      '--coordinator=HOST:PORT, --num_processes and --process_id to each.'
    ) from error
  logs.set_process(*this())


@contextlib.contextmanager
def together(*for_users: type[Exception]) -> Generator[None, None, None]:
  """Context in which an exception in one process ends all processes.

  Args:
    *for_users: other exceptions whose message is for the user.

  Raises:
    UserError: another process is gone, or one of `for_users` was raised.
  """
  try:
    yield
  except for_users as error:
    raise UserError(str(error)) from error
  except Exception as error:
    if jax.process_count() == 1 or isinstance(error, UserError):
      raise
    if not isinstance(error, jax.errors.JaxRuntimeError):
      leave(''.join(traceback.format_exception(error)))
    raise UserError(
      f'Another process of this run is gone: {error}\nStart all processes '
      'again with the same command to resume from the last checkpoint.'
    ) from error


def leave(message: str) -> NoReturn:
  """Exits with a message and code 1; the other processes then end too."""
  if jax.process_count() == 1:
    sys.exit(message)
  logs.write(message, sys.stderr)  # Names this one of them.
  os._exit(1)  # A normal exit would wait for processes that wait for this one.


def this() -> tuple[int, int]:
  """Index of this process, and the number of processes of the run."""
  return jax.process_index(), jax.process_count()


def is_first() -> bool:
  """Whether this is process 0, which writes the files of the run."""
  return jax.process_index() == 0


def wait(name: str) -> None:
  """Barrier: returns when all processes have called it with this name."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def largest(number: int) -> int:
  """Maximum of a number over all processes."""
  if jax.process_count() == 1:
    return number
  return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def from_first(tree: Tree) -> Tree:
  """Broadcasts process 0's arrays to all processes, bit for bit.

  Args:
    tree: arrays of the same shapes and types in all processes.

  Returns:
    The same tree of numpy arrays.
  """
  if jax.process_count() == 1:
    return jax.tree.map(np.asarray, tree)
  # As bytes: the broadcast is a sum, in which -0.0 + 0.0 is 0.0.
  data = jax.tree.map(
    lambda x: np.frombuffer(np.asarray(x).tobytes(), np.uint8), tree
  )
  return jax.tree.map(
    lambda x, y: np.frombuffer(y.tobytes(), x.dtype).reshape(x.shape),
    jax.tree.map(np.asarray, tree),
    multihost_utils.broadcast_one_to_all(data),
  )


def from_all(tree: Tree) -> Tree:
  """Gathers arrays of all processes, joined along the first axis.

  Args:
    tree: numpy arrays [n, ...] of numbers or str, with the same n in all
      processes.

  Returns:
    Numpy arrays [n * processes, ...] in the order of the processes.
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
