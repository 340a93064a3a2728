"""A bar of the work on many media files."""

import collections
import time
from collections.abc import Iterable

import tqdm

from avl_jax.features import Status


class Progress:
  """Shows the files done, the time left, the speed, and failures by reason.

  The speed is in hours of video or sound an hour. Use it as a context manager.

  Example:
    with Progress('indexing', 40) as progress:
      for file in files:
        progress.add(seconds=file.seconds, failed=file.failed)
  """

  def __init__(
    self, title: str, total: int, known: int = 0, failed: Iterable[Status] = ()
  ):
    """Shows the bar.

    Args:
      title: of the bar.
      total: number of files.
      known: files that need no work.
      failed: what became of files that are known not to be usable.
    """
    self._began, self._seconds = time.perf_counter(), 0.0
    self._failed = collections.Counter(failed)
    self._bar = tqdm.tqdm(
      None, title, total, initial=known, mininterval=1, unit=' files'
    )

  def add(
    self, count: int = 1, seconds: float = 0.0, failed: Iterable[Status] = ()
  ) -> None:
    """Adds files that are done.

    Args:
      count: of the files.
      seconds: that they last.
      failed: what became of those that cannot be used.
    """
    self._seconds += seconds
    self._failed.update(failed)
    speed = self._seconds / (time.perf_counter() - self._began)
    parts = [f'{self._failed[s]:,} {s}' for s in Status if self._failed[s]]
    self._bar.set_postfix_str(
      ', '.join([f'{speed:.1f} hours of video an hour', *parts]), refresh=False
    )
    self._bar.update(count)

  def __enter__(self) -> 'Progress':
    return self

  def __exit__(self, *_) -> None:
    self._bar.close()
