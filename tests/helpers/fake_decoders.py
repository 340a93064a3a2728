"""Decoders that do what a bad or hostile file may make a real one do.

  python -m tests.helpers.fake_decoders

is started in place of `avl_jax.extraction.decoding.child`. What happens to a
file depends on its stem.
"""

import ctypes
import itertools
import json
import os
import pathlib
import signal
import socket
import sys
import time

import numpy as np

from avl_jax import logs
from avl_jax.extraction.decoding import child as decoding_child
from avl_jax.extraction.decoding import protocol

PARENT = os.getppid()
POISONED = []


def attempts(path: str, port: int) -> dict[str, str]:
  """Name of an attempt -> 'done' or the name of the error."""

  def connect(kind):
    with socket.socket(socket.AF_INET, kind) as connection:
      connection.connect(('127.0.0.1', port))

  def fork():
    if not (child := os.fork()):
      os._exit(0)
    os.waitpid(child, 0)

  actions = {
    'read': lambda: os.open(path, os.O_RDONLY),
    'write': lambda: os.open(path, os.O_WRONLY),
    'create': lambda: os.open(f'{path}.new', os.O_CREAT | os.O_WRONLY),
    'remove': lambda: os.unlink(f'{path}.old'),
    'list': lambda: os.listdir(os.path.dirname(path)),
    'stat': lambda: os.stat(path),
    'connect': lambda: connect(socket.SOCK_STREAM),
    'send': lambda: connect(socket.SOCK_DGRAM),
    'pair': socket.socketpair,
    'fork': fork,
    'run': lambda: os.posix_spawn('/bin/true', ['true'], {}),
    'signal': lambda: os.kill(PARENT, 0),
    'memory': lambda: os.memfd_create('x'),
  }
  found = {}
  for name, action in actions.items():
    try:
      action()
      found[name] = 'done'
    except OSError as error:
      found[name] = type(error).__name__
  return found


def say(header: dict, data: bytes = b'') -> None:
  """Writes a message to the parent."""
  text = json.dumps(header).encode()
  os.write(0, protocol.HEADER.pack(len(text)) + text + data)


def frames(file, fps, size, crop, start, end):
  """Yields numbered frames, or does something else."""
  del fps, crop, start, end
  stem = pathlib.PurePath(file.name).stem
  if stem.startswith('good'):
    if POISONED:
      os.abort()
    for i in range(20):
      yield np.full((size, size, 3), i, np.uint8)
  else:
    yield from globals()[f'do_{stem}'](file) or ()


def do_attempt(file):
  targets = json.loads(file.reader().read())
  os.close(file.descriptor)  # so that one more could be opened
  found = attempts(**targets)
  raise RuntimeError(json.dumps(found))


def do_open(file):
  os.open(json.loads(file.reader().read())['path'], os.O_RDONLY)


def do_hang(file):
  del file
  say({'kind': 'line', 'text': f'pid {os.getpid()}'})
  time.sleep(1000)


def do_spin(file):
  del file
  for _ in itertools.count():
    pass


def do_slow(file):
  while True:  # It reads and reads.
    time.sleep(0.1)
    decoding_child._PULSE = 0
    file.reader().read(1)


def do_eat(file):
  del file
  eaten = []
  while True:
    eaten.append(np.ones(2**20))


def do_segfault(file):
  del file
  ctypes.string_at(0)


def do_abort(file):
  del file
  os.abort()


def do_exit(file):
  del file
  os._exit(3)


def do_group(file):
  if not os.fork():
    do_hang(file)
  time.sleep(1000)


def do_garbage(file):
  del file
  os.write(0, b'\xff' * 1000)
  time.sleep(1000)


def do_lines(file):
  del file
  while True:
    say({'kind': 'line', 'text': '\x1b[2J'})


def do_endless(file):
  del file
  while True:
    say({'kind': 'frames', 'shape': [1, 8, 8, 3]}, bytes(192))


def do_huge(file):
  del file
  say({'kind': 'frames', 'shape': [10**9, 10**9, 8, 3]})


def do_deep(file):
  del file
  os.write(0, protocol.HEADER.pack(60_000) + b'[' * 60_000)


def do_status(file):
  del file
  say({'kind': 'error', 'error': ['ok'], 'message': {'x': '\x1b[2J'}})
  os._exit(3)  # before it is asked again


def do_poison(file):
  POISONED.append(file)
  yield np.zeros((8, 8, 3), np.uint8)


def do_warn(file):
  logs.write(f'{file.name}: Reading goes on.\x1b[2J', sys.stderr)
  yield np.zeros((8, 8, 3), np.uint8)


def waveform(file, start, end):
  """Returns what cannot be a waveform."""
  del file, start, end
  return np.full(16, np.nan, np.float32)


if __name__ == '__main__':
  signal.signal(signal.SIGPIPE, signal.SIG_DFL)
  decoding_child.main(waveform, frames)
