"""Lines about long work: with the time and, of several processes, the host."""

import socket
import sys
import time
from typing import TextIO

import tqdm

_process = ''  # of a run of several processes: 'HOST, process 0 of 2'


def set_process(index: int, count: int) -> None:
  """Names this process in all later lines, if there are several."""
  global _process  # noqa: PLW0603 - A process has one name.
  host = f'{socket.gethostname()}, process {index} of {count}'
  _process = host if count > 1 else ''


def write(message: str, file: TextIO | None = None) -> None:
  """Prints a line; a progress bar stays intact.

  The line is '2026-01-31 13:05:00 MESSAGE', in a run of several processes
  '2026-01-31 13:05:00 [HOST, process 0 of 4] MESSAGE'.

  Args:
    message: one line.
    file: None: stdout.
  """
  parts = [time.strftime('%Y-%m-%d %H:%M:%S')]
  if _process:
    parts.append(f'[{_process}]')
  tqdm.tqdm.write(' '.join([*parts, message]), file=file or sys.stdout)
  (file or sys.stdout).flush()
