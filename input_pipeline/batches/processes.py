"""Worker processes that make batches in memory shared with this process.

Threads share Python's lock, which a thread holds for a third of a clip's time:
beyond three cores, more of them give nothing. Each worker process makes a share
of a batch. It writes clips into the batch's own memory, so that nothing is
copied, and sends back their ids and the errors of bad records.
"""

import functools
import pickle
import signal
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import context, util

import numpy as np

from avl_jax.errors import UserError
from input_pipeline.batches import collate, worker
from input_pipeline.batches.shared_memory import SharedMemory
from input_pipeline.records.bad_records import BadRecordError
from input_pipeline.records.buffers import ArrayPool
from input_pipeline.schema import Batch

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CLOSED = (
  'The batches are closed, so no more can be made. Open them again with '
  '`train_batches`.'
)


class _Process(context.SpawnProcess):
  """A process that ends when its parent wants it to, not when a user does.

  Ctrl-C and many a SIGTERM reach all processes of a run. The parent then
  finishes its step, for which it may need the workers.
  """

  def start(self) -> None:
    """Starts the process with these signals blocked, from its first moment."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
      super().start()
    finally:
      signal.pthread_sigmask(signal.SIG_SETMASK, before)

  def terminate(self) -> None:
    """Ends the process, which SIGTERM would not."""
    self.kill()


class _Context(context.SpawnContext):
  """Processes that begin anew: a copy of a process with threads may hang."""

  Process = _Process


def _do_nothing(arrays: Batch, task: futures.Future) -> None:
  """A callback that refers to the arrays as long as the task is not done."""


def start(count: int) -> futures.Executor:
  """Returns an executor of `count` processes, each started when needed."""
  executor = futures.ProcessPoolExecutor(count, _Context(), worker.begin)
  # If this process is one that multiprocessing started, it would wait for the
  # others at its end, and they for work. Queues close at a priority of 10.
  util.Finalize(None, _end, (weakref.ref(executor),), exitpriority=20)
  return executor


def _end(executor: weakref.ref) -> None:
  if found := executor():
    found.shutdown(cancel_futures=True)


def _cause(error: BrokenProcessPool) -> str:
  """A sentence about a result that could not be read; '' of a killed process.

  Python then ends all workers, and gives the traceback as the cause.
  """
  text = str(error.__cause__ or '').splitlines()
  lines = [line for line in text if line.strip('"\' ')]  # Quotes surround it.
  return f' The cause: its result cannot be read: {lines[-1]}' if lines else ''


class Workers:
  """Processes that make the clips of examples.

  Example:
    workers = Workers(2, source, next(source.clip_sampler(example, rng)))
    batch = workers.make(0, [3, 1, 2], replace)

  Attributes:
    at_once: how many batches should be in the making. The workers share each;
      those that are done with one continue with the next.
  """

  at_once = 2

  def __init__(self, count: int, source: worker.Source, clip: Mapping):
    """Prepares the processes, which start with the first batch.

    Args:
      count: number of processes.
      source: what clips are made of.
      clip: one of these clips, which tells shapes and types of all.

    Raises:
      ConfigError: the system is not Linux.
    """
    self._count, self._num_clips = count, source.clip_sampler.num_clips
    self._memory = SharedMemory()
    self._arrays = ArrayPool(self._memory.allocate)
    self._like = {
      name: (value.shape, value.dtype)
      for name, value in clip.items()
      if not isinstance(value, str)
    }
    pickled = np.frombuffer(pickle.dumps(source), np.uint8)
    self._pickled = self._arrays.empty(pickled.shape, pickled.dtype)
    self._pickled[:] = pickled
    self._shared_source = self._memory.describe(self._pickled)
    self._executor, self._is_closed = start(count), False

  def make(
    self,
    epoch: int,
    indices: Sequence[int],
    replace: Callable[[int, BadRecordError], Iterable[Mapping]],
  ) -> Batch:
    """Makes the batch of examples.

    Args:
      epoch: of the step.
      indices: of the examples.
      replace: (index, error) -> the clips in place of those of a bad record;
        called in the order of `indices`.

    Returns:
      name -> [N, ...], aligned for TensorFlow.

    Raises:
      UserError: a worker process ended, there is not enough memory, or
        `close` was called.
    """
    rows = len(indices) * self._num_clips
    arrays = {
      name: self._arrays.empty((rows, *shape), dtype)
      for name, (shape, dtype) in self._like.items()
    }
    ids, bad = self._written(arrays, epoch, indices)
    for place, error in sorted(bad.items()):
      first = place * self._num_clips
      clips = replace(indices[place], error)
      ids[first : first + self._num_clips] = collate.fill(arrays, first, clips)
    return arrays | {'id': np.asarray(ids)}

  def _written(
    self, arrays: Batch, epoch: int, indices: Sequence[int]
  ) -> tuple[list[str], dict[int, BadRecordError]]:
    """What `worker.write_clips` returns, for all examples of a batch."""
    shared = {name: self._memory.describe(a) for name, a in arrays.items()}
    shares = np.array_split(np.arange(len(indices)), self._count)
    starts = [int(share[0]) for share in shares if len(share)]
    ends = [*starts[1:], len(indices)]
    ids, bad = [], {}
    if self._is_closed:
      raise UserError(_CLOSED)
    try:
      tasks = [
        self._executor.submit(
          worker.write_clips,
          self._shared_source,
          shared,
          start * self._num_clips,
          epoch,
          indices[start:end],
        )
        for start, end in zip(starts, ends, strict=True)
      ]
      for task in tasks:
        # Refers to the arrays while it is not done: after an error or Ctrl-C,
        # too, their memory is not used again before all have been written.
        task.add_done_callback(functools.partial(_do_nothing, arrays))
      for start, task in zip(starts, tasks, strict=True):
        names, errors = task.result()
        ids += names
        bad |= {start + place: error for place, error in errors.items()}
    except BrokenProcessPool as error:
      raise UserError(
        'A worker process of the loader ended before its work was done. '
        'Usually the system kills one because memory is full (`dmesg` says '
        'so); an error of the process itself is printed above. Choose fewer '
        'train_data.processes or a smaller train_data.batch_size, and run the '
        'same command again to resume from the last checkpoint.' + _cause(error)
      ) from error
    except (futures.CancelledError, RuntimeError) as error:
      if not self._is_closed:
        raise
      raise UserError(_CLOSED) from error
    return ids, bad

  def close(self) -> None:
    """Ends the processes; batches that were made remain."""
    self._is_closed = True
    self._executor.shutdown(cancel_futures=True)
