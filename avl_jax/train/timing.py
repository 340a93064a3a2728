"""Wall-clock time of a run by section, over all its starts."""

import contextlib
import os
import pathlib
import time
import warnings
from collections.abc import Generator, Mapping

import jax

from avl_jax import logs

SECTIONS = {
  'start': 'startup: imports, data, restoring',
  'compile': 'compilation, or reading its cache',
  'data': 'waiting for data',
  'step': 'training steps',
  'save': 'waiting for checkpoints',
  'evaluation': 'evaluation',
  'log': 'writing logs',
  'lost': 'lost: work after the last checkpoint, done again',
}
TOLERANCE = 0.02  # share of the time that may be in no section


class UnnamedTimeWarning(UserWarning, ResourceWarning):
  """Much of the time is in no section, as on a busy machine.

  It is for tests, where warnings are errors. Python hides it by default, like
  every ResourceWarning.
  """


class Clock:
  """Context manager that adds up the seconds a run spends in each section.

  The sections are the keys of `SECTIONS`. A section's time is the time inside
  `with clock.section(name)`, except XLA's compilations, which count for the
  section 'compile'.
  """

  def __init__(
    self,
    began: float,
    *,
    before: Mapping[str, float] | None = None,
    lost: float = 0.0,
    heartbeat: pathlib.Path | None = None,
  ):
    """Starts the clock; the time since `began` counts for 'start'.

    Args:
      began: `time.perf_counter()` when the run began.
      before: `seconds()` at the checkpoint from which the run resumes.
      lost: seconds of work after that checkpoint.
      heartbeat: file whose modification time is the run's last heartbeat; the
        next start computes the lost time from it.
    """
    now = time.perf_counter()
    self._began, self._before = began, dict(before or {})
    self._seconds = dict.fromkeys(SECTIONS, 0.0)
    self._seconds.update(start=now - began, lost=lost)
    self._lost, self._section, self._heartbeat = lost, '', heartbeat
    self._waits = 0  # intervals in a row
    jax.monitoring.register_event_duration_secs_listener(self._compiled)

  @contextlib.contextmanager
  def section(self, name: str) -> Generator[None, None, None]:
    """Context whose time counts for the section `name`."""
    start, self._section = time.perf_counter(), name
    try:
      yield
    finally:
      self._seconds[name] += time.perf_counter() - start
      self._section = ''

  def beat(self) -> None:
    """Updates the heartbeat file."""
    if self._heartbeat:
      os.utime(self._heartbeat)

  def _compiled(self, event: str, duration_secs: float, **_: object) -> None:
    if event == '/jax/core/compile/backend_compile_duration' and self._section:
      self._seconds['compile'] += duration_secs
      self._seconds[self._section] -= duration_secs

  def seconds(self) -> dict[str, float]:
    """Seconds by section, 'unnamed' and 'total', earlier starts included.

    'total' is the wall time of all starts, measured independently; 'unnamed' is
    the total minus all sections.
    """
    own = self._seconds | {
      'total': time.perf_counter() - self._began + self._lost
    }
    total = {name: self._before.get(name, 0) + own[name] for name in own}
    named = sum(total[name] for name in SECTIONS)
    return total | {'unnamed': total['total'] - named}

  def scalars(self) -> dict[str, float]:
    """The `seconds` under the names of the log: 'seconds/step' and so on."""
    return {f'seconds/{key}': value for key, value in self.seconds().items()}

  def advise(self, data: float, step: float) -> None:
    """Says once what helps, after two intervals that were mostly waiting.

    One may be the start of the loader.

    Args:
      data: seconds of an interval in which the devices waited for data.
      step: seconds of its training steps.
    """
    self._waits = self._waits + 1 if data > step or self._waits > 1 else 0
    if self._waits == 2:
      logs.write(
        f'The devices wait for data {data / (data + step):.0%} of the time. If '
        'cores are idle, set --config.train_data.processes=N: so many '
        'processes make it (avl_jax/train/README.md).'
      )

  def table(self) -> str:
    """Table as text: a line per section, with its share of the total."""
    seconds = self.seconds()
    names = SECTIONS | {'unnamed': 'in no section', 'total': 'total'}
    lines = [
      f'{seconds[key]:10.1f} s {seconds[key] / seconds["total"]:6.1%}  {name}'
      for key, name in names.items()
    ]
    return '\n'.join(['Time by section:', *lines])

  def __enter__(self) -> 'Clock':
    return self

  def __exit__(self, kind: type | None, *_) -> None:
    """Stops the clock.

    Warns if more than `TOLERANCE` of the time is in no section, because the
    table is then unreliable; does not warn after an exception.
    """
    jax.monitoring.unregister_event_duration_listener(self._compiled)
    seconds = self.seconds()
    if not kind and abs(seconds['unnamed']) > TOLERANCE * seconds['total']:
      warnings.warn(
        f'{seconds["unnamed"]:.1f} s of {seconds["total"]:.1f} s of this run '
        'are in no section of the table of times.',
        UnnamedTimeWarning,
        stacklevel=2,
      )


def process_start() -> float:
  """Returns `time.perf_counter()` at this process' start; if unknown, now."""
  try:
    fields = pathlib.Path('/proc/self/stat').read_text().rpartition(')')[2]
    booted = time.clock_gettime(time.CLOCK_BOOTTIME)
  except (OSError, AttributeError):
    return time.perf_counter()
  age = booted - int(fields.split()[19]) / os.sysconf('SC_CLK_TCK')
  return time.perf_counter() - age
