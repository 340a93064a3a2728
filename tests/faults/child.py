"""Runs of main.py with faults in them, of which the program knows nothing.

A process that imports what the program needs once, then makes a fork of itself
for each run that it is asked for: runs then start in a second. It reads a line
of JSON a request: a `Request` to start, answered by the pid, or a pid to reap,
answered by the exit code.

A run tells on stdout what it does, as lines '@WHAT NUMBER TEXT': from which
step it trains, each step, the ids of its examples (tabs between), each
checkpoint that is on the disk, each fault that it meets.
"""

import dataclasses
import faulthandler
import functools
import itertools
import json
import os
import pkgutil
import re
import resource
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Fault:
  """What happens when a function is called.

  Attributes:
    do: name of a function in DEEDS.
    at: dotted name of the function; with '()' behind, what it returns; with
      '[]', each item that it yields.
    call: at which call of those that match, from 1; 0: at each.
    matching: regular expression, searched in the arguments as text.
    after: after the call instead of before.
    value: what the deed needs.
  """

  do: str
  at: str
  call: int = 1
  matching: str = ''
  after: bool = False
  value: Any = None


@dataclasses.dataclass(frozen=True)
class Request:
  """A run to start: arguments, where its output goes, environment, faults."""

  arguments: Sequence[str]
  folder: str
  environment: dict[str, str]
  faults: Sequence[Fault]


def say(what: str, number: int, text: str = '') -> None:
  """Writes a line at once, whatever becomes of this process."""
  os.write(1, f'@{what} {number} {text}\n'.encode())


def _kill(seconds: float | None, result: Any) -> None:
  """At once, or so many seconds later."""
  threading.Timer(seconds or 0, os.kill, (os.getpid(), signal.SIGKILL)).start()
  if not seconds:
    time.sleep(60)


def _signal(numbers: Sequence[int], result: Any) -> None:
  """One after another, so that each is heard."""
  for number in numbers:
    os.kill(os.getpid(), number)
    time.sleep(0.3)


def _fill(room: int | None, arguments: tuple) -> None:
  """As on a full disk, no file can grow beyond so many bytes.

  None: beyond a little more than a log has. What the run says still comes
  through.
  """
  for number in (1, 2):
    cat = subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=number)
    os.dup2(cat.stdin.fileno(), number)
  if room is None:
    room = os.path.getsize(arguments[0]._file.name) + 20
  resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))


def _poison(value: tuple[str, int, str], batch: dict) -> None:
  """A number of one example of a batch."""
  name, example, number = value
  batch[name] = np.array(batch[name])
  batch[name][example].flat[7] = float(number)


def _spoil(value: tuple[int, str, str], arguments: tuple) -> None:
  """A number of a record as it is on the disk."""
  key, name, number = value
  _, this, example, *_ = arguments
  if this == key:
    example[name] = np.array(example[name])
    example[name].flat[7] = float(number)


def _fail(message: str, about: Any) -> None:
  """As a fault of the program itself."""
  raise ArithmeticError(message)


DEEDS = {
  'fail': _fail,
  'kill': _kill,
  'signal': _signal,
  'sleep': lambda seconds, result: time.sleep(seconds),
  'fill': _fill,
  'poison': _poison,
  'spoil': _spoil,
}


def _wrap(dotted: str, wrapper: Callable) -> None:
  """Puts wrapper(function) in the place of the function of that name."""
  name = dotted.removesuffix('()').removesuffix('[]')
  owner, _, name = name.rpartition('.')
  owner = pkgutil.resolve_name(owner)
  function = getattr(owner, name)
  if dotted.endswith('()'):
    wrapped = functools.wraps(function)(
      lambda *args, **kwargs: wrapper(function(*args, **kwargs))
    )
  elif dotted.endswith('[]'):
    wrapped = functools.wraps(function)(
      lambda *args: map(wrapper(lambda item: item), function(*args))
    )
  else:
    wrapped = wrapper(function)
  setattr(owner, name, wrapped)


def _meet(fault: Fault) -> Callable:
  """The wrapper of a fault."""
  calls = itertools.count(1)

  def wrapper(function: Callable) -> Callable:
    @functools.wraps(function)
    def wrapped(*args, **kwargs):
      due = (
        not fault.matching or re.search(fault.matching, repr(args))
      ) and fault.call in (0, next(calls))

      def act(about):
        if due:
          say('fault', fault.call, f'{fault.do} {fault.at}')
          DEEDS[fault.do](fault.value, about)

      if not fault.after:
        act(args)
      result = function(*args, **kwargs)
      if fault.after:
        act(result)
      return result

    return wrapped

  return wrapper


def _watch() -> None:
  """Lets the run tell what it does, and leaves out its report."""
  steps = []

  def run(function):
    def wrapped(self, state):
      steps.append(int(state.step))
      say('from', steps[0])
      return function(self, state)

    return wrapped

  def step(function):
    def wrapped(*args):
      steps[0] += 1
      say('step', steps[0])
      return function(*args)

    return wrapped

  def from_step(function):
    def wrapped(self, first, last):
      for number, batch in enumerate(function(self, first, last), first + 1):
        say('ids', number, '\t'.join(batch['id']))
        yield batch

    return wrapped

  def write(function):
    def wrapped(self, items, description):
      function(self, items, description)
      say('written', description['step'])

    return wrapped

  _wrap('avl_jax.train.loop.Loop.run', run)
  _wrap('avl_jax.parallel.pmap_step()', step)
  _wrap('input_pipeline.batches.train.TrainBatches.from_step', from_step)
  _wrap('avl_jax.checkpoints.checkpointer.Checkpoints._write', write)
  _wrap('avl_jax.checkpoints.loading.load', lambda _: lambda _: sys.exit(0))


def _serve() -> Request:
  """Returns in each fork, with what it is to run."""
  for line in sys.stdin:
    request = json.loads(line)
    if isinstance(request, int):
      _, status = os.waitpid(request, 0)
      print(os.waitstatus_to_exitcode(status), flush=True)
      continue
    if not (pid := os.fork()):
      faults = [Fault(**fault) for fault in request.pop('faults')]
      return Request(**request, faults=faults)
    print(pid, flush=True)
  sys.exit()


def _enter(folder: str) -> None:
  """Standard input, output and error of a run."""
  os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
  for number, name in ((1, 'stdout'), (2, 'stderr')):
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    os.dup2(os.open(f'{folder}/{name}', flags), number)


if __name__ == '__main__':
  sys.path.insert(0, os.getcwd())
  import main  # noqa: F401
  from avl_jax.features import audio

  audio.log_mel_spectrogram(np.ones(16000))  # Compiles what Numba compiles.
  request = _serve()
  _enter(request.folder)
  faulthandler.register(signal.SIGUSR1)  # Where it hangs, if it does.
  os.environ.update(request.environment)
  _watch()
  for fault in request.faults:
    _wrap(fault.at, _meet(fault))
  sys.argv = ['main.py', *request.arguments]
  runpy.run_path('main.py', run_name='__main__')
