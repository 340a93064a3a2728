"""Where the time of a run went, over all its starts."""

import contextlib
import os
import pathlib
import time
import warnings
from collections.abc import Iterator, Mapping

import jax

SECTIONS = {
  'start': 'starting: imports, data, restoring',
  'compile': 'compiling, or reading the cache of it',
  'data': 'waiting for data',
  'step': 'training steps',
  'save': 'blocking on checkpoints',
  'evaluation': 'evaluating',
  'log': 'writing logs',
  'lost': 'lost: work after a checkpoint that had to be done again',
}
TOLERANCE = 0.02  # share of the time that may have no name


class Clock:
  """Adds up the seconds that a run spends on each of `SECTIONS`; a context.

  A section's time is what passes inside `with clock.section(name)`, without
  what XLA compiles in the meantime, which is `compile`'s.
  """

  def __init__(
    self,
    began: float,
    *,
    before: Mapping[str, float] | None = None,
    lost: float = 0.0,
    heartbeat: pathlib.Path | None = None,
  ):
    """Starts to count; what passed since `began` is the start's.

    Args:
      began: `time.perf_counter()` when the run began.
      before: `seconds()` at the checkpoint that the run goes on from.
      lost: seconds of work after that checkpoint.
      heartbeat: file whose time of modification says when the run was last
        known to live, from which the next start knows what was lost.
    """
    now = time.perf_counter()
    self._began, self._before = began, dict(before or {})
    self._seconds = dict.fromkeys(SECTIONS, 0.0)
    self._seconds.update(start=now - began, lost=lost)
    self._lost, self._section, self._heartbeat = lost, '', heartbeat
    jax.monitoring.register_event_duration_secs_listener(self._compiled)

  @contextlib.contextmanager
  def section(self, name: str) -> Iterator[None]:
    """What happens inside belongs to the section `name`."""
    start, self._section = time.perf_counter(), name
    try:
      yield
    finally:
      self._seconds[name] += time.perf_counter() - start
      self._section = ''

  def beat(self) -> None:
    """Says that the run lives."""
    if self._heartbeat:
      os.utime(self._heartbeat)

  def _compiled(self, event: str, seconds: float, **_) -> None:
    if event == '/jax/core/compile/backend_compile_duration' and self._section:
      self._seconds['compile'] += seconds
      self._seconds[self._section] -= seconds

  def seconds(self) -> dict[str, float]:
    """Seconds by section, 'unnamed' and 'total', the starts before included.

    'total' is the wall time of all starts, measured by itself; 'unnamed' is
    what is left of it when all sections are taken away.
    """
    own = self._seconds | {
      'total': time.perf_counter() - self._began + self._lost
    }
    total = {name: self._before.get(name, 0) + own[name] for name in own}
    named = sum(total[name] for name in SECTIONS)
    return total | {'unnamed': total['total'] - named}

  def scalars(self) -> dict[str, float]:
    """`seconds` as they are logged: 'seconds/step' and so on."""
    return {f'seconds/{key}': value for key, value in self.seconds().items()}

  def table(self) -> str:
    """A line for each section, with its share of the total."""
    seconds = self.seconds()
    names = SECTIONS | {'unnamed': 'unnamed', 'total': 'total'}
    lines = [
      f'{seconds[key]:10.1f} s {seconds[key] / seconds["total"]:6.1%}  {name}'
      for key, name in names.items()
    ]
    return '\n'.join(['where the time went:', *lines])

  def __enter__(self) -> 'Clock':
    return self

  def __exit__(self, kind: type | None, *_) -> None:
    """Ends the counting.

    Warns if more than `TOLERANCE` of the time has no name, so that the table
    cannot be trusted; not if something was raised.
    """
    jax.monitoring.unregister_event_duration_listener(self._compiled)
    seconds = self.seconds()
    if not kind and abs(seconds['unnamed']) > TOLERANCE * seconds['total']:
      warnings.warn(
        f'{seconds["unnamed"]:.1f} s of {seconds["total"]:.1f} s of this run '
        'belong to no section of its accounting',
        stacklevel=2,
      )


def process_start() -> float:
  """`time.perf_counter()` when this process began; where unknown, now."""
  try:
    fields = pathlib.Path('/proc/self/stat').read_text().rpartition(')')[2]
    booted = time.clock_gettime(time.CLOCK_BOOTTIME)
  except (OSError, AttributeError):
    return time.perf_counter()
  age = booted - int(fields.split()[19]) / os.sysconf('SC_CLK_TCK')
  return time.perf_counter() - age
