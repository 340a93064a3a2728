"""Kills a writer at its Nth line, for many N, and looks at what is left.

  python -m tests.helpers.search.killing FOLDER EVERY    # every line: EVERY=1

A process of its own: the children are forked, which is fast, and safe as long
as no thread has started.
"""

import os
import pathlib
import signal
import sys
from typing import Any

from avl_jax.search.store import shards
from avl_jax.search.store.index import Index
from tests.helpers.search import changes, made_up

ROOM = os.sep + os.path.join('avl_jax', 'search') + os.sep


def _write(folder: pathlib.Path, last: int, done: int) -> None:
  """Creates and changes an index; kills itself before its line `last`."""
  left = last

  def trace(frame: Any, event: str, _: Any) -> Any:
    nonlocal left
    if ROOM not in frame.f_code.co_filename:
      return None
    if event == 'line':
      left -= 1
      if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return trace

  sys.settrace(trace)
  with Index.create(folder, made_up.description()) as index:
    for step in changes.STEPS:
      step(index)
      os.write(done, b'.')
  sys.settrace(None)


def _states(folder: pathlib.Path) -> list[dict]:
  """The state before and after each step."""
  with Index.create(folder, made_up.description()) as index:
    found = [changes.state(index)]
    for step in changes.STEPS:
      step(index)
      found.append(changes.state(index))
  return found


def _verify(folder: pathlib.Path, states: list[dict], done: int) -> None:
  """Reads, goes on and ends like the unbroken one."""
  if not (folder / 'HEAD').exists():
    assert not done
    Index.create(folder, made_up.description()).close()
  with Index.open(folder) as index:
    first = changes.state(index)
  assert first in states[done : done + 2], (first, done)
  with Index.open(folder, write=True) as index:
    assert changes.state(index) == first
    begin = done + (first != states[done])
    for number, step in enumerate(changes.STEPS[begin:], begin + 1):
      step(index)
      assert changes.state(index) == states[number]
  with Index.open(folder) as index:
    assert changes.state(index) == states[-1]
  kept = {path.name.split('.')[0] for path in folder.iterdir()}
  assert kept <= {'HEAD', 'lock', 'video', 'audio'} | {
    path.stem for path in [*folder.glob('journal-*.jsonl')][:1]
  }, kept


def main() -> None:
  """Prints the number of moments at which the writer was killed."""
  folder, every = pathlib.Path(sys.argv[1]), int(sys.argv[2])
  os.fsync = lambda _: None  # Not needed against a kill.
  shards.LIMIT = 3 * made_up.DIM * 4
  states = _states(folder / 'unbroken')
  killed = 0
  while True:
    here = folder / f'{killed}'
    read, write = os.pipe()
    child = os.fork()
    if not child:
      _write(here, 1 + every * killed, write)
      os._exit(0)
    os.close(write)
    done = _count(read)
    _, status = os.waitpid(child, 0)
    _verify(here, states, done)
    if not os.WIFSIGNALED(status):
      assert os.waitstatus_to_exitcode(status) == 0
      break
    killed += 1
  print(killed)


def _count(pipe: int) -> int:
  """Bytes until the writer's end."""
  with os.fdopen(pipe, 'rb') as file:
    return len(file.read())


if __name__ == '__main__':
  main()
