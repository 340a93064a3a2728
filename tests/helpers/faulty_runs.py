"""Runs main.py with injected faults; the program itself is unchanged.

This process imports the program's modules once, then forks for each requested
run, so that a run starts in a second. It reads one line of JSON per request: a
`Request` to start a run, answered by the pid, or a pid to reap, answered by the
exit code.

A run prints events to stdout, as lines '@EVENT NUMBER TEXT': the step after
which it starts ('from'), each step, the ids of a step's examples (separated by
tabs), each checkpoint once it is on the disk ('written'), each injected fault.
"""

import dataclasses
import faulthandler
import functools
import itertools
import json
import multiprocessing
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
  """Fault that is injected when a function is called.

  Attributes:
    do: key of ACTIONS.
    at: dotted name of the function; NAME() means the function that it returns,
      NAME[] each item that it yields.
    call: number of the matching call, from 1; 0: each matching call.
    matching: regular expression that is searched in the arguments' repr.
    after: inject after the call instead of before it.
    value: argument of the action.
  """

  do: str
  at: str
  call: int = 1
  matching: str = ''
  after: bool = False
  value: Any = None


@dataclasses.dataclass(frozen=True)
class Request:
  """Run to start: arguments, folder of its output, environment, faults."""

  arguments: Sequence[str]
  folder: str
  environment: dict[str, str]
  faults: Sequence[Fault]


def emit(what: str, number: int, text: str = '') -> None:
  """Prints an event unbuffered, in case the process is killed next."""
  os.write(1, f'@{what} {number} {text}\n'.encode())


def _kill(seconds: float | None, result: Any) -> None:
  """Kills this process, now or after some seconds."""
  threading.Timer(seconds or 0, os.kill, (os.getpid(), signal.SIGKILL)).start()
  if not seconds:
    time.sleep(60)


def _kill_worker(value: None, result: Any) -> None:
  """Kills one of the processes that make batches."""
  os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)


def _signal(numbers: Sequence[int], result: Any) -> None:
  """Sends signals to this process, with pauses so that each is handled."""
  for number in numbers:
    os.kill(os.getpid(), number)
    time.sleep(0.3)


def _fill(room: int | None, arguments: tuple) -> None:
  """Simulates a full disk: no file can grow beyond `room` bytes.

  None: the limit is 20 bytes more than the size of the log. The run's own
  output goes through pipes and is not limited.
  """
  for number in (1, 2):
    cat = subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=number)
    os.dup2(cat.stdin.fileno(), number)
  if room is None:
    room = os.path.getsize(arguments[0]._file.name) + 20
  resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))


def _poison(value: tuple[str, int, str], batch: dict) -> None:
  """Replaces a number in one example of a batch."""
  name, example, number = value
  batch[name] = np.array(batch[name])
  batch[name][example].flat[7] = float(number)


def _spoil(value: tuple[int, str, str], arguments: tuple) -> None:
  """Replaces a number in a record, as if it were so on the disk."""
  key, name, number = value
  _, this, example, *_ = arguments
  if this == key:
    example[name] = np.array(example[name])
    example[name].flat[7] = float(number)


def _fail(message: str, about: Any) -> None:
  """Raises an exception that the program does not expect."""
  raise ArithmeticError(message)


ACTIONS = {
  'fail': _fail,
  'kill': _kill,
  'kill_worker': _kill_worker,
  'signal': _signal,
  'sleep': lambda seconds, result: time.sleep(seconds),
  'fill': _fill,
  'poison': _poison,
  'spoil': _spoil,
}


def _wrap(dotted: str, wrapper: Callable) -> None:
  """Replaces the function of a dotted name by wrapper(function)."""
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


def _inject(fault: Fault) -> Callable:
  """Makes the wrapper that injects a fault."""
  calls = itertools.count(1)

  def wrapper(function: Callable) -> Callable:
    @functools.wraps(function)
    def wrapped(*args, **kwargs):
      due = (
        not fault.matching or re.search(fault.matching, repr(args))
      ) and fault.call in (0, next(calls))

      def act(about):
        if due:
          emit('fault', fault.call, f'{fault.do} {fault.at}')
          ACTIONS[fault.do](fault.value, about)

      if not fault.after:
        act(args)
      result = function(*args, **kwargs)
      if fault.after:
        act(result)
      return result

    return wrapped

  return wrapper


def _watch() -> None:
  """Makes the run print its events, and skips the final evaluation."""
  steps = []

  def run(function):
    def wrapped(self, state):
      steps.append(int(state.step))
      emit('from', steps[0])
      return function(self, state)

    return wrapped

  def step(function):
    def wrapped(*args):
      steps[0] += 1
      emit('step', steps[0])
      return function(*args)

    return wrapped

  def from_step(function):
    def wrapped(self, first, last):
      for number, batch in enumerate(function(self, first, last), first + 1):
        emit('ids', number, '\t'.join(batch['id']))
        yield batch

    return wrapped

  def write(function):
    def wrapped(self, items, description):
      function(self, items, description)
      emit('written', description['step'])

    return wrapped

  _wrap('avl_jax.train.loop.Loop.run', run)
  _wrap('avl_jax.parallel.pmap_step()', step)
  _wrap('input_pipeline.batches.train.TrainBatches.from_step', from_step)
  _wrap('avl_jax.checkpoints.checkpointer.Checkpoints._write', write)
  _wrap('avl_jax.checkpoints.loading.load', lambda _: lambda _: sys.exit(0))


def _serve() -> Request:
  """Forks for each request; returns in the fork, with its request."""
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
  """Redirects standard input, output and error of a run."""
  os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
  for number, name in ((1, 'stdout'), (2, 'stderr')):
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    os.dup2(os.open(f'{folder}/{name}', flags), number)


if __name__ == '__main__':
  sys.path.insert(0, os.getcwd())
  import input_pipeline  # noqa: F401 - Before the forks, to save time.
  import main  # noqa: F401
  from avl_jax.features import audio
  from avl_jax.modes import train  # noqa: F401

  audio.log_mel_spectrogram(np.ones(16000))  # Triggers Numba's compilation.
  request = _serve()
  _enter(request.folder)
  faulthandler.register(signal.SIGUSR1)  # Prints the stacks of a hanging run.
  os.environ.update(request.environment)
  _watch()
  for fault in request.faults:
    _wrap(fault.at, _inject(fault))
  sys.argv = ['main.py', *request.arguments]
  runpy.run_path('main.py', run_name='__main__')
