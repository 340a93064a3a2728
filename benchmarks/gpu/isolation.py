"""Runs a part of `benchmarks.gpu` in processes that may abort or hang."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from benchmarks.gpu.parts import Part

_FAILED = re.compile(r'^F\d{4} |Check failed')  # a check; its stack follows
_TELLING = re.compile(r'free\(|corrupt|terminate|Error')


def run(part: Part, sizes: str, folder: pathlib.Path) -> list[dict]:
  """Runs all cases of a part.

  A case that ends its process is a row, and the others run in a new one. When
  the part's time is over, its processes are killed; that is a row too.

  Args:
    part: which.
    sizes: name of the sizes in `parts`.
    folder: for files; compiled programs are kept in it, those of the first
      process for other parts, too.

  Returns:
    Rows: 'case', 'seconds', 'result' and others. 'process' tells which
    process, where there are several.
  """
  end = time.monotonic() + part.seconds
  found, is_over = [], False
  for number, (label, environment) in enumerate(part.processes.items()):
    if is_over:
      found.append({'process': label, 'result': 'not run'})
      continue
    stem = f'{folder}/{part.name}-{number}'
    # Otherwise a process would load the kernels that another has chosen.
    variables = _variables(environment, f'{folder}/compiled-{number}')
    rows, is_over = _cases(part.module, sizes, stem, variables, end)
    found += [{'process': label, **row} if label else row for row in rows]
  return found


def _variables(environment: Mapping[str, str], cache: str) -> dict[str, str]:
  """This process' environment; a part's flags come after its own."""
  variables = {
    **os.environ,
    'XLA_PYTHON_CLIENT_PREALLOCATE': 'false',
    'JAX_COMPILATION_CACHE_DIR': cache,
  }
  for name, value in environment.items():
    variables[name] = f'{variables.get(name, "")} {value}'.strip()
  return variables


def _cases(
  module: str,
  sizes: str,
  stem: str,
  variables: Mapping[str, str],
  end: float,
) -> tuple[list[dict], bool]:
  """The rows of all cases in one environment; whether the time is over."""
  done, rows = 0, []
  while True:
    notes = pathlib.Path(f'{stem}-{done}.json')
    log = notes.with_suffix('.log')
    status = _child([module, str(notes), sizes, str(done)], variables, log, end)
    lines = notes.read_text().splitlines() if notes.exists() else []
    facts = [json.loads(line) for line in lines]
    rows += [row for fact in facts for row in fact.get('rows', ())]
    ended = sum('ended' in fact for fact in facts)
    begun = [fact['begins'] for fact in facts if 'begins' in fact]
    if status == 0:
      return rows, False
    is_over = status is None
    result = 'no answer in the time of this part' if is_over else _death(status)
    if not is_over and (line := _telling(log)):
      result += f': {line}'
    done += len(begun)
    left = facts[0]['cases'][done:] if facts else []
    name = begun[-1] if begun else 'before the first case'
    if begun and len(begun) == ended:
      name = f'after {name}' if left else 'after the last case'
    rows.append({'case': name, 'result': result})
    if is_over or not begun or not left:
      rows += [{'case': each, 'result': 'not run'} for each in left]
      return rows, is_over


def _child(
  arguments: list[str],
  variables: Mapping[str, str],
  log: pathlib.Path,
  end: float,
) -> int | None:
  """Exit status of a process that runs cases; None: its time was over."""
  with open(log, 'w', encoding='utf8') as file:
    process = subprocess.Popen(
      [sys.executable, '-m', 'benchmarks.gpu.child', *arguments],
      stdout=file,
      stderr=subprocess.STDOUT,
      env=variables,
      start_new_session=True,  # Its own children are killed with it.
    )
    try:
      return process.wait(max(0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
      return None
    finally:
      with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
      process.wait()


def _death(status: int) -> str:
  """How a process ended: 'ended by SIGABRT', 'ended with status 3'."""
  if status < 0:
    return f'ended by {signal.Signals(-status).name}'
  return f'ended with status {status}'


def _telling(log: pathlib.Path) -> str:
  """The line of a log that tells the most of an end; '': it is empty."""
  text = log.read_text(encoding='utf8', errors='replace')
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  if failed := [line for line in lines if _FAILED.search(line)]:
    return failed[0][:300]
  telling = [line for line in lines if _TELLING.search(line)]
  return (telling or lines or [''])[-1][:300]
