"""Runs main.py with the tests' networks, and kills itself at a moment.

  python -m tests.helpers.search.killed MOMENT NUMBER --mode=index ...

MOMENT is one of `MOMENTS`; the process ends at its call NUMBER, from 1.
"""

import os
import runpy
import signal
import sys

from avl_jax.backbones import feature_extractor
from avl_jax.extraction import feature_cache
from avl_jax.search.store import journal, shards
from tests.helpers import small_run

MOMENTS = {
  'extracting': (small_run.Extractor, '__call__'),
  'keeping': (feature_cache, 'write'),
  'appending': (shards, 'append'),
  'committing': (journal, '_write_head'),
}


def _arm(moment: str, number: int) -> None:
  place, name = MOMENTS[moment]
  function, calls = getattr(place, name), []

  def wrapped(*args, **kwargs):
    calls.append(args)
    if len(calls) == number:
      os.kill(os.getpid(), signal.SIGKILL)
    return function(*args, **kwargs)

  setattr(place, name, wrapped)


if __name__ == '__main__':
  _, moment, number, *arguments = sys.argv
  feature_extractor.Extractor = small_run.Extractor
  if moment:
    _arm(moment, int(number))
  sys.argv = ['main.py', *arguments]
  runpy.run_path('main.py', run_name='__main__')
