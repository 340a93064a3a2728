"""Cases that end badly, for the tests of `benchmarks.gpu.isolation`."""

import atexit
import os
import time


def _raise():
  raise ValueError('told\nmore')


def _abort():
  print('F1231 a check failed')
  os.abort()


def _abort_at_the_end():
  atexit.register(os.abort)
  return {'result': 'right'}


def exit_at_once(pipe):
  del pipe
  os._exit(3)


def cases(sizes):
  if sizes.twins:  # the large form
    return {'hangs': lambda: time.sleep(1000), 'after': dict}
  return {
    'first': lambda: {'result': 'right', 'flags': os.environ['XLA_FLAGS']},
    'raises': _raise,
    'aborts': _abort,
    'two': lambda: [{'what': 1}, {'what': 2}],
    'exits': lambda: os._exit(3),
    'last': _abort_at_the_end,
  }
