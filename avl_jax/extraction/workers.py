"""Works on many files in several threads, each with a decoder of its own.

The work is done in the decoders' child processes and in the networks, which all
threads share (see `feature_extractor.Extractor`). A thread that waits for its
turn takes no pictures, so its child waits, too: no more is held in memory than
a few pictures for each thread.
"""

import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from avl_jax.extraction.decoding.decoder import Decoder

Job = TypeVar('Job')


def number(wanted: int) -> int:
  """Number of workers; of 0, one fewer than the cores, at least one."""
  if wanted:
    return wanted
  if hasattr(os, 'sched_getaffinity'):
    return max(1, len(os.sched_getaffinity(0)) - 1)
  return max(1, (os.cpu_count() or 1) - 1)


class Workers:
  """Threads with decoders, as a context manager that ends them.

  Attributes:
    decoders: of the threads.

  Example:
    with Workers(4) as workers:
      for path in workers.each(paths, extract):  # extract(path, decoder)
        print(path)  # is done
  """

  def __init__(self, count: int, decoder: Decoder | None = None):
    """Makes the decoders.

    Args:
      count: see `number`.
      decoder: whose siblings they are; None: of the usual limits.
    """
    decoder = decoder or Decoder()
    self.decoders = [decoder.sibling() for _ in range(count)]
    self._threads: list[threading.Thread] = []
    self._is_stopped = threading.Event()

  def __enter__(self) -> 'Workers':
    return self

  def __exit__(self, *_) -> None:
    """Ends the threads; what is in the middle of a file fails."""
    self._is_stopped.set()
    for decoder in self.decoders:
      decoder.stop()
    for thread in self._threads:
      thread.join()

  def each(
    self, jobs: Iterable[Job], work: Callable[[Job, Decoder], object]
  ) -> Iterator[Job]:
    """Calls a function with each job, in the threads.

    Args:
      jobs: they are taken when a thread is free.
      work: gets a job and the decoder of its thread.

    Yields:
      The jobs that are done, in the order of their ends. What `work` or `jobs`
      raises is raised here, and ends the work.
    """
    left, taking = iter(jobs), threading.Lock()
    # (jobs done: one or none, error or None); twice None is a thread's end.
    results: queue.SimpleQueue[tuple[list[Job], BaseException | None]] = (
      queue.SimpleQueue()
    )

    def take() -> list[Job]:
      with taking:
        return list(itertools.islice(left, 1))

    def run(decoder: Decoder) -> None:
      try:
        # The thread lives until no job is left: its child lives no longer.
        with decoder:
          while not self._is_stopped.is_set() and (job := take()):
            work(job[0], decoder)
            results.put((job, None))
      except BaseException as error:
        results.put(([], error))
      else:
        results.put(([], None))

    for decoder in self.decoders:
      thread = threading.Thread(target=run, args=(decoder,), daemon=True)
      self._threads.append(thread)
      thread.start()
    running = len(self.decoders)
    while running:
      done, error = results.get()
      if error is not None:
        raise error
      yield from done
      running -= not done
