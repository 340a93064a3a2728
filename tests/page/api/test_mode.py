"""--mode=serve: from the command to the page, and what is in its way."""

import argparse
import os
import pathlib
import re
import shutil
import signal
import threading
import time
import types

import httpx
import pytest

import main
from avl_jax.errors import ConfigError, UserError
from avl_jax.modes import serve
from avl_jax.page import serving
from avl_jax.page.options import Options
from benchmarks import serve as load
from tests.helpers.page import living
from tests.search.conftest import make_run, replaced_networks


def _no_records(**_):
  raise UserError('There are no records.')


def _serve(run, index, *arguments):
  _, config, workdir = main.read_arguments(
    [
      *('main.py', '--mode=serve', f'--workdir={run}'),
      *(f'--config.search.index={index}', '--config.serve.port=0'),
      *arguments,
    ]
  )
  pipeline = types.SimpleNamespace(eval_batches=_no_records)
  with replaced_networks():
    serve.serve(config, workdir, pipeline)


def _workers():
  return {x.name for x in threading.enumerate() if '_work' in x.name}


def test_the_page_is_served_until_a_signal(
  run, index_dir, question, capsys, tmp_path
):
  """What it has made is gone with it; its token stays."""
  token, cache = tmp_path / 'token', tmp_path / 'cache'
  answers, printed = [], []

  def visit():
    try:
      while not (found := re.search(r'page is at (\S+?),? ', ''.join(printed))):
        printed.append(capsys.readouterr().out)
        time.sleep(0.05)
      headers = {'Authorization': f'Bearer {token.read_text().strip()}'}
      with httpx.Client(base_url=f'{found[1]}', headers=headers) as client:
        answers.append(client.get('').status_code)
        files = {'file': ('q.wav', question.read_bytes())}
        response = client.post('/api/v1/search', files=files)
        answers.append(len(response.json()['answers']))
        client.headers.clear()
        answers.append(client.get('/api/v1/about').status_code)
    finally:
      os.kill(os.getpid(), signal.SIGTERM)

  before, workers = signal.getsignal(signal.SIGTERM), _workers()
  visitor = threading.Thread(target=visit)
  visitor.start()
  _serve(
    run,
    index_dir,
    f'--config.serve.token_file={token}',
    f'--config.serve.cache_dir={cache}',
  )
  visitor.join()
  assert answers == [200, 4, 401]
  assert signal.getsignal(signal.SIGTERM) is before
  assert _workers() == workers
  said = ''.join(printed) + capsys.readouterr().out
  assert f'the token in {token}' in said
  assert token.read_text().strip() not in said


def test_what_is_in_the_way(run, index_dir, tmp_path):
  """One message each, before the model is loaded where that is possible."""
  with pytest.raises(ConfigError, match=r'search\.index'):
    _serve(run, '')
  with pytest.raises(UserError, match='no index'):
    _serve(run, tmp_path / 'nothing')
  with pytest.raises(ConfigError, match=r'serve\.port is 70000'):
    _serve(run, index_dir, '--config.serve.port=70000')
  with pytest.raises(ConfigError, match='token_file'):
    _serve(run, index_dir, '--config.serve.host=0.0.0.0')
  with serving.listen(Options(port=0)) as listener:
    port = listener.getsockname()[1]
    with pytest.raises(UserError, match='another program listens'):
      _serve(run, index_dir, f'--config.serve.port={port}')
  other = make_run(tmp_path / 'other', seed=9)
  with pytest.raises(UserError, match='another video branch'):
    _serve(other, index_dir)


def test_an_index_of_another_model_meanwhile(run, copied, question, tmp_path):
  """Its answers would mean nothing. The first index may come back."""
  from tests.page.api.conftest import client_of, made, update

  media_dir, index = copied()
  kept = shutil.copytree(index, tmp_path / 'kept')
  other = make_run(tmp_path / 'other', seed=9)
  update(other, media_dir, tmp_path / 'new')
  files = {'file': ('q.wav', question.read_bytes())}

  def replace(folder):
    shutil.rmtree(index)
    shutil.copytree(folder, index)

  with made(run, index, media_dir) as app, client_of(app) as client:
    replace(tmp_path / 'new')
    for _ in range(2):
      response = client.post('api/v1/search', files=files)
      assert response.status_code == 422
      assert 'another video branch' in response.json()['error']
    replace(kept)
    assert client.post('api/v1/search', files=files).status_code == 200


@pytest.mark.slow
def test_twenty_askers_for_a_minute(app, question, media_dir, tmp_path):
  """None fails, and memory does not grow."""
  shutil.copy(question, tmp_path)
  shutil.copy(media_dir / 'picture.png', tmp_path)
  shutil.copy(media_dir / 'old.avi', tmp_path)
  options = argparse.Namespace(askers=20, seconds=60)
  paths = sorted(pathlib.Path(tmp_path).iterdir())
  with living.server(app) as address:
    *table, last = load.ask(address, os.getpid(), paths, options)
  print('\n'.join([*table, last]))
  assert '20 askers, 60 s, 0 errors' in last, table
  first, second = map(
    int, re.findall(r'most ([\d,]+) MiB', last.replace(',', ''))
  )
  assert second < 1.1 * first + 50
