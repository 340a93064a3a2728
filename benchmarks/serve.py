"""Many clients at once on the page of an index.

  python -m benchmarks.serve runs/stamps runs/index QUESTIONS

starts --mode=serve and lets 20 askers ask the recordings and pictures in the
folder QUESTIONS for a minute, one question after the other, each with the
pictures of its first answers, a clip and a piece of a file. It prints how long
they waited, and what memory the server and its children took.
"""

import argparse
import collections
import pathlib
import random
import re
import subprocess
import sys
import threading
import time

import httpx
import numpy as np

from avl_jax.extraction import media_folder

_ADDRESS = re.compile(r'The page is at (\S+)')


class Asker(threading.Thread):
  """Asks until the time is up.

  Attributes:
    waited: kind of request -> seconds of each.
    errors: what went wrong.
  """

  def __init__(self, number: int, address: str, paths: list, ends: float):
    super().__init__(daemon=True)
    self.waited = collections.defaultdict(list)
    self.errors: list[str] = []
    self._random, self._paths, self._ends = random.Random(number), paths, ends
    self._client = httpx.Client(base_url=address, timeout=120)

  def run(self) -> None:
    """Asks."""
    with self._client:
      while time.monotonic() < self._ends:
        path = self._random.choice(self._paths)
        files = {'file': (path.name, path.read_bytes())}
        found = self._send('question', 'POST', 'search', files=files)
        if not found:
          continue
        answers = found.json()['answers']
        for answer in answers[:3]:
          file = f'files/{answer["file"]}'
          if answer['kind'] != 'sound':
            self._send('picture', 'GET', f'{file}/frame?t={answer["best"]}')
        if answers and self._random.random() < 0.2:
          self._look(answers[0])

  def _look(self, answer: dict) -> None:
    """Plays an answer, and asks for more like it."""
    file = f'files/{answer["file"]}'
    data = {'window': answer['window']}
    self._send('more like this', 'POST', 'search', data=data)
    headers = {'Range': 'bytes=0-65535'}
    self._send('range', 'GET', file, headers=headers)
    if answer['kind'] == 'picture':
      return
    start = answer['start'] + self._random.choice([0, 0.25, 0.5])
    span = f'start={start}&end={start + 3}'
    self._send('clip', 'GET', f'{file}/clip?{span}')

  def _send(
    self, kind: str, method: str, path: str, **options
  ) -> httpx.Response | None:
    began = time.monotonic()
    try:
      response = self._client.request(method, f'api/v1/{path}', **options)
      response.raise_for_status()
    except httpx.HTTPError as error:
      self.errors.append(f'{kind}: {error!r}')
      return None
    self.waited[kind].append(time.monotonic() - began)
    return response


def memory(process: int) -> int:
  """Bytes of memory of a process and of those that it has started."""
  total, waiting = 0, [process]
  while waiting:
    folder = pathlib.Path(f'/proc/{waiting.pop()}')
    try:
      pages = int((folder / 'statm').read_text().split()[1])
      for task in (folder / 'task').iterdir():
        waiting += map(int, (task / 'children').read_text().split())
    except (OSError, ValueError):
      continue
    total += pages * 4096
  return total


def ask(address: str, process: int, paths: list, options) -> list[str]:
  """Lets askers ask; the lines of the report."""
  before = memory(process)
  ends = time.monotonic() + options.seconds
  askers = [Asker(n, address, paths, ends) for n in range(options.askers)]
  for asker in askers:
    asker.start()
  most = []
  while any(asker.is_alive() for asker in askers):
    most.append(memory(process))
    time.sleep(0.5)
  waited = collections.defaultdict(list)
  for asker in askers:
    for kind, seconds in asker.waited.items():
      waited[kind] += seconds
  errors = [error for asker in askers for error in asker.errors]
  lines = ['| request | number | median, s | 95 %, s | slowest, s |']
  lines += ['| --- | --- | --- | --- | --- |']
  for kind, each in sorted(waited.items()):
    middle, late = np.percentile(each, [50, 95])
    lines.append(
      f'| {kind} | {len(each):,} | {middle:.2f} | {late:.2f} | '
      f'{max(each):.2f} |'
    )
  half = len(most) // 2
  lines.append(
    f'\n{options.askers} askers, {options.seconds:g} s, {len(errors)} errors. '
    f'Memory of the server and its children: {before / 2**20:,.0f} MiB before, '
    f'at most {max(most[:half]) / 2**20:,.0f} MiB in the first half and at '
    f'most {max(most[half:]) / 2**20:,.0f} MiB in the second.'
  )
  return [*errors[:5], *lines]


def main() -> None:
  """Starts the server, asks, and prints the table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('run')
  parser.add_argument('index')
  parser.add_argument('questions', type=pathlib.Path)
  parser.add_argument('--askers', type=int, default=20)
  parser.add_argument('--seconds', type=float, default=60)
  options = parser.parse_args()
  paths = sorted(filter(media_folder.kind, options.questions.iterdir()))
  command = [
    *(sys.executable, 'main.py', '--mode=serve', f'--workdir={options.run}'),
    *(f'--config.search.index={options.index}', '--config.serve.port=0'),
  ]
  with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
    assert server.stdout
    found = None
    for line in server.stdout:
      if found := _ADDRESS.search(line):
        break
    if not found:
      sys.exit('The server has not started.')
    threading.Thread(target=server.stdout.read, daemon=True).start()
    try:
      print('\n'.join(ask(found[1], server.pid, paths, options)))
    finally:
      server.terminate()
    print(f'After SIGTERM: exit code {server.wait(30)}.')


if __name__ == '__main__':
  main()
