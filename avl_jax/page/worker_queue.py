"""Queues of work, each run by one thread, for clients that wait for results.

When a client disconnects, its queued work and its decoding are cancelled.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from avl_jax.page.errors import BusyError


class Tool(Protocol):
  """What a thread works with."""

  def interrupt(self) -> None:
    """Gives up what is being done, from another thread."""


T = TypeVar('T', bound=Tool)
Result = TypeVar('Result')


class WorkerQueue(Generic[T]):
  """Threads that do what is waiting, each with a tool of its own.

  Example:
    workers = WorkerQueue([searcher], most=32)
    answers = await workers.run(lambda searcher: searcher.search('said.wav'))
    workers.close()
  """

  def __init__(self, tools: list[T], most: int):
    """Starts the threads.

    Args:
      tools: one for each thread.
      most: pieces of work that may wait or be done at once.
    """
    self._most, self._count = most, 0
    self._jobs: queue.SimpleQueue[tuple[Future, Callable] | None] = (
      queue.SimpleQueue()
    )
    self._doing: dict[Future, T] = {}
    self._lock = threading.Lock()
    self._threads = [
      threading.Thread(target=self._work, args=(tool,), daemon=True)
      for tool in tools
    ]
    for thread in self._threads:
      thread.start()

  def close(self) -> None:
    """Gives up what is waiting or being done; ends the threads."""
    for _ in self._threads:
      self._jobs.put(None)
    with self._lock:
      for tool in self._doing.values():
        tool.interrupt()
    for thread in self._threads:
      thread.join()

  async def run(self, work: Callable[[T], Result]) -> Result:
    """Has a thread do a piece of work; cancelling it gives it up.

    Raises:
      BusyError: too much is waiting.
    """
    if self._count >= self._most:
      raise BusyError(self._count)
    job: Future[Any] = Future()
    with self._lock:
      self._count += 1
    job.add_done_callback(self._leave)
    self._jobs.put((job, work))
    try:
      return await asyncio.wrap_future(job)
    except asyncio.CancelledError:
      with self._lock:
        if tool := self._doing.get(job):
          tool.interrupt()
      raise

  def _leave(self, _: Future) -> None:
    with self._lock:
      self._count -= 1

  def _work(self, tool: T) -> None:
    while (waiting := self._jobs.get()) is not None:
      job, work = waiting
      with self._lock:  # Who leaves from now on finds the tool.
        if not job.set_running_or_notify_cancel():
          continue
        self._doing[job] = tool
      result, error = None, None
      try:
        result = work(tool)
      except BaseException as caught:
        error = caught
      with self._lock:
        del self._doing[job]
      if error is None:
        job.set_result(result)
      else:
        job.set_exception(error)
