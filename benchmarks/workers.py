"""Worker processes for benchmarks, each with one training step."""

import argparse
import contextlib
import multiprocessing
import os
import pathlib
import resource
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import NamedTuple

import numpy as np

OURS = 'avl_jax'
COMPILED = ', compiled'  # by torch.compile
WEIGHTS = 'weights.npz'
EAGER = {'PyTorch, 2-D': 2, 'PyTorch, 1-D': 1}
TWINS = EAGER | {name + COMPILED: dims for name, dims in EAGER.items()}


def first_line(error: Exception) -> str:
  """An error's kind and the beginning of what it says."""
  message = (str(error).splitlines() or [''])[0]
  return f'{type(error).__name__}: {message[:150]}'


def peak_bytes() -> int:
  """Most memory until now: of JAX's devices; on a CPU, of this process."""
  from avl_jax import parallel

  devices = parallel.devices()
  if devices[0].platform == 'cpu':
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
  return sum(d.memory_stats()['peak_bytes_in_use'] for d in devices)


def _ours(options: argparse.Namespace) -> tuple:
  """Returns (step() -> loss, parameters, peak() -> bytes or None, device)."""
  os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  import jax
  from flax import traverse_util

  from avl_jax import compilation, parallel
  from benchmarks import full_size

  compilation.set_up(options.folder)
  step, state, batch = full_size.make_step(
    full_size.make_batch(options.batch_size),
    options.dtype,
    options.structure,
    options.remat,
    **options.sizes,
  )
  params = traverse_util.flatten_dict(state.variables['params'], sep='/')
  path = pathlib.Path(options.folder, WEIGHTS)
  if not path.exists():  # Others of ours wait until the first has written it.
    np.savez(path, **params)

  def run() -> float:
    nonlocal state
    state, metrics = step(state, batch)
    return float(metrics['loss'])

  devices = parallel.devices()
  return (
    run,
    sum(x.size for x in params.values()),
    peak_bytes,
    f'{len(devices)} x {devices[0].device_kind}, jax {jax.__version__}',
  )


def _twin(name: str, options: argparse.Namespace) -> tuple:
  """Returns what `_ours` does, for a PyTorch implementation."""
  from benchmarks import full_size, twins

  with np.load(pathlib.Path(options.folder, WEIGHTS)) as weights:
    return twins.make_step(
      TWINS[name],
      options.dtype,
      dict(weights),
      full_size.make_batch(options.batch_size),
      compiled=name.endswith(COMPILED),
    )


def _work(connection, name: str, options: argparse.Namespace) -> None:
  """Runs in a process: receives numbers of steps and runs them; 0 ends it.

  Sends that it is ready; after the first number the facts, then (seconds of a
  step, peak bytes) for each other number. Of an error before that, it sends
  what is 'missing', and prints the rest.
  """
  try:
    made = _twin(name, options) if name in TWINS else _ours(options)
    step, parameters, peak, device = made
    connection.send({})
    if not connection.recv():
      return
    start = time.perf_counter()
    facts = {'loss': step(), 'parameters': parameters, 'device': device}
    connection.send({**facts, 'first': time.perf_counter() - start})
  except ModuleNotFoundError as error:
    connection.send({'missing': str(error)})
    return
  except Exception as error:
    connection.send({'missing': first_line(error)})
    raise
  while count := connection.recv():
    start = time.perf_counter()
    for _ in range(count):
      step()
    seconds = (time.perf_counter() - start) / count
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    connection.send((seconds, peak() if peak else used))


class Worker(NamedTuple):
  """A process and the pipe to it."""

  process: SpawnProcess
  pipe: Connection


def spawn(target: Callable, *arguments, daemon: bool = True) -> Worker:
  """Starts a process that runs target(pipe, *arguments).

  When it ends, however that is, its pipe raises EOFError here.

  Args:
    target: of a module.
    *arguments: of it.
    daemon: it ends with this process, and has no processes of its own.
  """
  context = multiprocessing.get_context('spawn')
  ours, theirs = context.Pipe()
  process = context.Process(
    target=target, args=(theirs, *arguments), daemon=daemon
  )
  process.start()
  theirs.close()
  return Worker(process, ours)


def start(name: str, options: argparse.Namespace) -> Worker:
  """Starts a process, which makes its model and waits."""
  return spawn(_work, name, options)


@contextlib.contextmanager
def worker(
  name: str, options: argparse.Namespace, started: Worker | None = None
) -> Iterator[tuple[Callable, dict]]:
  """Yields (ask(steps) -> (seconds, bytes), facts) of a process.

  Args:
    name: of the model.
    options: of the benchmark.
    started: from `start`; None: it is started here.
  """
  process, ours = started or start(name, options)

  def ask(steps: int) -> tuple[float, int]:
    ours.send(steps)
    return ours.recv()

  try:
    facts = ours.recv() or ask(1)
  except (EOFError, OSError):
    facts = {'missing': 'its process ended, perhaps out of memory'}
  try:
    yield ask, facts
  finally:
    with contextlib.suppress(OSError):
      ours.send(0)
    process.join()
