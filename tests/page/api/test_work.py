"""Clients that wait together, disconnect or read nothing; and the end."""

import asyncio
import contextlib
import pathlib
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from avl_jax.extraction.decoding.decoder import Decoder
from avl_jax.features import MediaError
from avl_jax.page import cancellation, serving
from avl_jax.page.errors import BusyError, GoneError, TooLongError
from avl_jax.page.worker_queue import WorkerQueue
from avl_jax.search.query.searcher import Searcher
from avl_jax.search.update import progress
from tests.helpers import media, own_folder
from tests.helpers.page import living
from tests.page.api.conftest import client_of, made


class _Tool:
  """Does one thing at a time, and gives it up."""

  def __init__(self):
    self.done: list = []
    self.began = threading.Event()
    self._given_up = threading.Event()

  def interrupt(self):
    self._given_up.set()

  def work(self, number: int, seconds: float = 0.0) -> int:
    self.began.set()
    if self._given_up.wait(seconds):
      self._given_up.clear()
      raise MediaError('given up')
    self.done.append(number)
    return number


@contextlib.contextmanager
def _workers(most):
  tool = _Tool()
  workers = WorkerQueue([tool], most)
  try:
    yield workers, tool
  finally:
    workers.close()


def test_work_is_done_in_order_and_no_more_waits_than_may():
  async def ask():
    with _workers(5) as (workers, tool):
      jobs = [
        asyncio.ensure_future(workers.run(lambda tool, i=i: tool.work(i, 0.05)))
        for i in range(5)
      ]
      await asyncio.sleep(0)
      with pytest.raises(BusyError, match='5 others'):
        await workers.run(lambda tool: tool.work(9))
      assert await asyncio.gather(*jobs) == tool.done == [0, 1, 2, 3, 4]
      assert await workers.run(lambda tool: tool.work(6)) == 6

  asyncio.run(ask())


def test_who_leaves_gives_up_what_waits_and_what_is_done():
  async def ask():
    with _workers(5) as (workers, tool):
      first = asyncio.ensure_future(workers.run(lambda tool: tool.work(0, 60)))
      second = asyncio.ensure_future(workers.run(lambda tool: tool.work(1)))
      third = asyncio.ensure_future(workers.run(lambda tool: tool.work(2)))
      await asyncio.to_thread(tool.began.wait)
      second.cancel()
      first.cancel()
      assert await third == 2
      assert tool.done == [2]

  asyncio.run(ask())


def test_an_error_reaches_who_waits_and_the_next_is_done():
  async def ask():
    with _workers(5) as (workers, _):
      with pytest.raises(ZeroDivisionError):
        await workers.run(lambda _: 1 // 0)
      assert await workers.run(lambda tool: tool.work(1)) == 1

  asyncio.run(ask())


def test_a_file_that_is_given_up_is_not_tried_again(tmp_path):
  """The next file is read."""
  media.write(tmp_path / 'a.mp4', own_folder.tone(1, 3), seconds=3)
  began, results = threading.Event(), queue.SimpleQueue()

  def use(file):
    frames = iter(file.frames(8, 48, False))
    next(frames)
    began.set()
    time.sleep(0.3)
    results.put(1)
    return sum(1 for _ in file.frames(8, 48, False))

  with Decoder() as decoder:
    assert decoder.run(tmp_path / 'a.mp4', lambda x: x.waveform()).size
    other = threading.Thread(
      target=lambda: (began.wait(), decoder.interrupt()), daemon=True
    )
    other.start()
    with pytest.raises((MediaError, RuntimeError)):
      decoder.run(tmp_path / 'a.mp4', use)
    assert results.qsize() == 1
    count = decoder.run(
      tmp_path / 'a.mp4', lambda x: sum(1 for _ in x.frames(8, 48, False))
    )
    assert count == 24


def test_many_ask_at_once(client, question, media_dir):
  """Each gets the answer that it would get alone."""
  sound, picture = question.read_bytes(), (media_dir / 'picture.png')

  def ask(number):
    data = {'k': 1 + number % 5}
    files = {'file': ('q.wav', sound)}
    if number % 4 == 1:
      files = {'file': ('p.png', picture.read_bytes())}
    if number % 4 == 2:
      files, data['text'] = None, f'words {number}'
    return client.post('api/v1/search', data=data, files=files).json()

  alone = [ask(number)['answers'] for number in range(12)]
  found: dict[int, list] = {}

  def visit(number):
    found[number] = ask(number)['answers']

  threads = [threading.Thread(target=visit, args=(n,)) for n in range(12)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert [found[number] for number in range(12)] == alone


def test_too_many_are_told_so(run, index_dir, question):
  """One asks at a time here; the others are refused, and may come again."""
  statuses = []
  with (
    made(run, index_dir, askers=1) as app,
    client_of(app) as client,
  ):

    def visit():
      files = {'file': ('q.wav', question.read_bytes())}
      response = client.post('api/v1/search', files=files)
      statuses.append(response.status_code)
      if response.status_code == 503:
        assert response.headers['retry-after']
        said = response.json()['error']
        assert re.fullmatch(r'\d others are .* Ask again in a moment\.', said)

    threads = [threading.Thread(target=visit) for _ in range(8)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    assert {*statuses} == {200, 503}
    visit()
    assert statuses[-1] == 200


class _Visitor:
  """A visitor who leaves at the nth look."""

  def __init__(self, leaves=10**9):
    self._left = leaves

  async def is_disconnected(self):
    self._left -= 1
    return self._left < 0


@pytest.mark.parametrize(
  ('visitor', 'seconds', 'error'),
  [(_Visitor(1), 60, GoneError), (_Visitor(), 0.1, TooLongError)],
)
def test_who_leaves_or_waits_too_long_cancels(
  monkeypatch, visitor, seconds, error
):
  monkeypatch.setattr(cancellation, '_PAUSE', 0.01)
  seen = []

  async def work():
    try:
      await asyncio.sleep(60)
    except asyncio.CancelledError:
      seen.append('cancelled')
      raise

  with pytest.raises(error):
    asyncio.run(cancellation.while_there(visitor, work(), seconds))
  assert seen == ['cancelled']
  answer = cancellation.while_there(_Visitor(), asyncio.sleep(0.05, 3), 60)
  assert asyncio.run(answer) == 3


def test_a_visitor_who_leaves_gives_up_the_decoding(
  run, index_dir, question, monkeypatch
):
  given_up, begun = threading.Event(), threading.Event()

  def wait(*_, **__):
    begun.set()
    assert given_up.wait(20)
    raise MediaError('given up')

  files = {'file': ('q.wav', question.read_bytes())}
  with made(run, index_dir) as app, client_of(app) as client:
    with monkeypatch.context() as patch:
      patch.setattr(Searcher, 'question', wait)
      patch.setattr(Searcher, 'interrupt', lambda _: given_up.set())
      with pytest.raises(httpx.ReadTimeout):
        client.post('api/v1/search', files=files, timeout=0.5)
      assert begun.is_set()
      assert given_up.wait(10)
    assert client.post('api/v1/search', files=files).status_code == 200


async def _large(_):
  return Response(bytes(2**26))


def test_one_who_takes_nothing_is_cut_off(monkeypatch):
  monkeypatch.setattr(serving, '_STALL_SECONDS', 0.3)
  app = Starlette(routes=[Route('/', _large)])
  with living.server(app) as address:
    port = httpx.URL(address).port
    with socket.create_connection(('127.0.0.1', port), timeout=10) as channel:
      channel.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
      time.sleep(1)
      taken = 0
      with contextlib.suppress(ConnectionError):
        while part := channel.recv(2**20):
          taken += len(part)
      assert taken < 2**26
    monkeypatch.setattr(serving, '_STALL_SECONDS', 60)
    assert len(httpx.get(address, timeout=60).content) == 2**26


SERVER = """
import asyncio, sys
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from avl_jax.page import serving
from avl_jax.page.options import Options

async def slow(_):
  print('asked', flush=True)
  await asyncio.sleep(float(sys.argv[1]))
  return Response('whole')

options = Options(port=0)
listener = serving.listen(options)
print(listener.getsockname()[1], flush=True)
serving.run(Starlette(routes=[Route('/', slow)]), listener, options)
print('after', flush=True)
"""


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_present_answers(number):
  root = pathlib.Path(__file__).parents[3]
  with subprocess.Popen(
    [sys.executable, '-c', SERVER, '0.5'],
    cwd=root,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  ) as process:
    port = int(process.stdout.readline())
    answers = []
    visitor = threading.Thread(
      target=lambda: answers.append(httpx.get(f'http://127.0.0.1:{port}').text)
    )
    visitor.start()
    assert process.stdout.readline() == 'asked\n'
    process.send_signal(number)
    visitor.join()
    rest = process.stdout.read()
  assert answers == ['whole']
  assert process.returncode == 0
  assert 'The server has ended.\nafter\n' in rest
  assert 'Traceback' not in rest


def test_progress_of_an_indexing(tmp_path):
  assert progress.read(tmp_path) is None
  with progress.Published(tmp_path, 10, 4) as published:
    first = progress.read(tmp_path / 'none', tmp_path)
    assert first == {
      'done': 4,
      'total': 10,
      'seconds_left': None,
      'failures': 0,
    }
    published._written = 0.0
    published.add(failed=True)
    found = progress.read(tmp_path)
    assert (found['done'], found['failures']) == (5, 1)
    assert found['seconds_left'] >= 0
    published.add(failed=False)  # within the second: not written
    assert progress.read(tmp_path)['done'] == 5
  assert progress.read(tmp_path) is None


def test_progress_of_a_process_that_was_killed(tmp_path):
  code = (
    'import os, pathlib, sys; from avl_jax.search.update import progress; '
    'progress.Published(pathlib.Path(sys.argv[1]), 9, 0).__enter__(); '
    'os.kill(os.getpid(), 9)'
  )
  root = pathlib.Path(__file__).parents[3]
  arguments = [sys.executable, '-c', code, str(tmp_path)]
  subprocess.run(arguments, cwd=root, check=False)
  assert (tmp_path / progress.FILE).exists()
  assert progress.read(tmp_path) is None
  (tmp_path / progress.FILE).write_text('no JSON')
  assert progress.read(tmp_path) is None


def test_an_indexing_publishes_its_progress(run, copied, monkeypatch):
  """The page shows it; at the end nothing is left."""
  from tests.page.api.conftest import update

  media_dir, index = copied()
  media.write(media_dir / 'more.mp4', own_folder.tone(5, 2), seconds=2)
  own_folder.age(media_dir)
  seen = []
  add = progress.Published.add

  def watched(self, failed):
    self._written = 0.0
    add(self, failed)
    seen.append(client.get('api/v1/progress').json()['indexing'])

  monkeypatch.setattr(progress.Published, 'add', watched)
  with made(run, index, media_dir) as app, client_of(app) as client:
    update(run, media_dir, index)
    (only,) = seen
    assert (only['done'], only['total'], only['failures']) == (6, 6, 0)
    assert client.get('api/v1/progress').json() == {'indexing': None}
    assert client.get('api/v1/about').json()['index']['files'] == 6
  assert not (index / progress.FILE).exists()
