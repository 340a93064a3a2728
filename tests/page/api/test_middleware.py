"""Access, limits of requests, and the headers of every response."""

import asyncio
import contextlib
import json
import os
import pathlib
import socket
import stat
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from avl_jax.errors import ConfigError, UserError
from avl_jax.page import access, errors, middleware, serving
from avl_jax.page.access import Access
from avl_jax.page.app import Page
from avl_jax.page.middleware import Guard
from avl_jax.page.options import Options
from tests.helpers.page import living

TOKEN = 'a-token-of-a-test-0123456789'


async def _echo(request: Request):
  """How many bytes came, and the address under which the page is."""
  size = 0
  async for part in request.stream():
    size += len(part)
  return JSONResponse({'size': size, 'base': str(request.base_url)})


@contextlib.contextmanager
def _guarded(token='', **options):
  """A client of a small application behind the guard."""
  methods = ['GET', 'POST']
  routes = [Route('/', _echo, methods=methods)]
  routes += [Mount('/api', Route('/echo', _echo, methods=methods))]
  routes += [Mount('/static', Route('/a', _echo))]
  inner = Starlette(routes=routes, exception_handlers=errors.handlers(list))
  options = Options(**options)
  form = pathlib.Path(__file__)  # stands for the page that asks for the token
  app = Guard(inner, options, Access(options, token, form))
  with (
    living.server(app) as address,
    httpx.Client(base_url=address, timeout=20) as client,
  ):
    yield client


def test_every_answer_has_the_headers(client):
  for path in ('', 'api/v1/about', 'nowhere', 'static/index.html'):
    headers = client.get(path).headers
    policy = headers['content-security-policy']
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self'" in policy
    assert 'unsafe' not in policy
    assert headers['x-content-type-options'] == 'nosniff'
    assert headers['referrer-policy'] == 'same-origin'
    assert 'microphone=(self)' in headers['permissions-policy']
    assert 'server' not in headers
    origin = client.get(path, headers={'Origin': str(client.base_url)[:-1]})
    assert not [x for x in origin.headers if x.startswith('access-control')]


@pytest.mark.parametrize(
  ('host', 'status'),
  [
    ('127.0.0.1', 200),
    ('127.0.0.1:8008', 200),
    ('LocalHost:1', 200),
    ('[::1]:8008', 200),
    ('films.example.org', 200),
    ('evil.example.org', 421),
    ('127.0.0.1.evil.org', 421),
    ('localhost:80@evil.org', 421),
    ('[::1', 421),
    ('', 421),
  ],
)
def test_other_names_of_the_server_are_refused(host, status):
  """A name that an attacker lets point to this computer."""
  with _guarded(hosts=('films.example.org',)) as client:
    response = client.get('/api/echo', headers={'Host': host})
    assert response.status_code == status
    if status != 200:
      assert 'serve.hosts' in response.json()['error']


def test_other_sites_may_not_ask():
  with _guarded(hosts=('films.example.org',)) as client:
    own = str(client.base_url)[:-1]
    for origin, status in (
      (own, 200),
      ('https://films.example.org', 200),
      ('https://evil.example.org', 403),
      ('http://127.0.0.1:1', 403),
      ('null', 403),
    ):
      response = client.post('/api/echo', headers={'Origin': origin})
      assert response.status_code == status, origin


def test_a_token_is_asked_for():
  with _guarded(TOKEN) as client:
    refusal = client.get('/api/echo')
    assert refusal.status_code == 401
    assert 'token' in refusal.json()['error']
    for wrong in ('-', 'x', TOKEN[:-1], TOKEN + 'x', 'é'):
      answer = client.get('/api/echo', params={'token': wrong})
      assert answer.status_code == 401
      headers = {'Authorization': f'Bearer {wrong}'.encode()}
      assert client.get('/api/echo', headers=headers).status_code == 401
      cookies = {access.COOKIE: wrong.encode().hex()}
      headers = {'Cookie': f'{access.COOKIE}={cookies[access.COOKIE]}'}
      assert client.get('/api/echo', headers=headers).status_code == 401
    headers = {'Authorization': f'Bearer {TOKEN}'}
    assert client.get('/api/echo', headers=headers).status_code == 200
    assert client.get('/api/echo').status_code == 401


def test_a_person_is_asked_for_the_token():
  """What the form needs is free."""
  with _guarded(TOKEN) as client:
    response = client.get('/', headers={'Accept': 'text/html,*/*'})
    assert response.status_code == 401
    assert response.text == pathlib.Path(__file__).read_text()
    # Elsewhere, its addresses would lead astray.
    headers = {'Accept': 'text/html'}
    assert 'error' in client.get('/api/echo', headers=headers).json()
    # A wrong one does not stay in the address; the form says that it is wrong.
    query = {'file': 'a b', 'token': 'wrong', 't': '3'}
    response = client.get('/', params=query, headers=headers)
    assert response.status_code == 303
    assert response.headers['location'] == './?file=a+b&t=3&token='
    assert client.get('/?token=', headers=headers).status_code == 401
    assert client.get('/static/a').status_code == 200
    for path in ('/staticx', '/static/../api/echo', '/api/static/a'):
      assert client.get(path).status_code == 401, path


def test_the_token_in_the_address_becomes_a_cookie():
  with _guarded(TOKEN) as client:
    response = client.get('/', params={'file': 'a b', 'token': TOKEN, 't': '3'})
    assert response.status_code == 303
    assert response.headers['location'] == './?file=a+b&t=3'
    cookie = response.headers['set-cookie']
    assert TOKEN not in cookie
    assert 'HttpOnly' in cookie
    assert 'SameSite=lax' in cookie
    assert 'Path=/' in cookie
    assert client.get('/api/echo').status_code == 200
    proxied = client.get(
      '/',
      params={'token': TOKEN},
      headers={'X-Forwarded-Proto': 'https', 'Cookie': ''},
    )
    assert 'Secure' in proxied.headers['set-cookie']


def test_a_prefix_of_a_proxy():
  """The proxy may take it away or leave it."""
  with _guarded(prefix='/films') as client:
    base = f'{client.base_url}films/'
    for path in ('/films/', '/', '/films/api/echo', '/api/echo'):
      response = client.get(path)
      assert response.status_code == 200, path
      assert response.json()['base'] == base
    response = client.get('/films?file=a')
    assert response.status_code == 307
    assert response.headers['location'] == '/films/?file=a'
    assert client.get('/filmsx').status_code == 404
  with _guarded(TOKEN, prefix='/films') as client:
    response = client.get('/films/', params={'token': TOKEN})
    assert 'Path=/films/' in response.headers['set-cookie']


def _sent(client, head: str, bodies=(), wait=0.0) -> tuple[bytes, int]:
  """What the server answers, and how many bytes it has taken."""
  host, port = client.base_url.host, client.base_url.port
  sent = 0
  with socket.create_connection((host, port), timeout=20) as channel:
    channel.sendall(head.format(host=host).encode())
    with contextlib.suppress(ConnectionError):
      for body in bodies:
        channel.sendall(body)
        sent += len(body)
        time.sleep(wait)
    answer = b''
    with contextlib.suppress(ConnectionError):
      while part := channel.recv(2**16):
        answer += part
  return answer, sent


HEAD = 'POST /api/echo HTTP/1.1\r\nHost: {host}\r\n'


def test_a_body_of_ten_gigabytes_is_refused_early():
  """Its length is said, or it comes in pieces without end."""
  with _guarded(upload_bytes=2**20) as client:
    whole = client.post('/api/echo', content=bytes(2**20))
    assert whole.json()['size'] == 2**20
    zeros = bytes(2**16)
    answer, sent = _sent(
      client,
      HEAD + f'Content-Length: {10 * 2**30}\r\n\r\n',
      (zeros for _ in range(10 * 2**14)),
    )
    assert answer == b'' or answer.startswith(b'HTTP/1.1 413')
    assert sent < 2**24
    piece = b'10000\r\n' + zeros + b'\r\n'
    answer, sent = _sent(
      client,
      HEAD + 'Transfer-Encoding: chunked\r\n\r\n',
      (piece for _ in range(10 * 2**14)),
    )
    assert answer == b'' or answer.startswith(b'HTTP/1.1 413')
    assert sent < 2**24
    # Without the bytes, the answer is sure to be read.
    answer, _ = _sent(client, HEAD + 'Content-Length: 99999999\r\n\r\n')
    assert answer.startswith(b'HTTP/1.1 413')
    assert b'larger than 1 MiB' in answer
    assert b'connection: close' in answer.lower()
    assert client.get('/api/echo').status_code == 200


def test_a_body_that_comes_too_slowly_is_refused(monkeypatch):
  monkeypatch.setattr(middleware, '_BODY_SECONDS', 0.3)
  with _guarded() as client:
    answer, _ = _sent(client, HEAD + 'Content-Length: 9\r\n\r\n', [b'a'])
    assert answer.startswith(b'HTTP/1.1 408')
    assert client.get('/api/echo').status_code == 200


def test_a_head_that_comes_too_slowly_is_cut(monkeypatch):
  monkeypatch.setattr(serving, '_HEADER_SECONDS', 0.3)
  monkeypatch.setattr(serving, '_KEEP_SECONDS', 1)
  with _guarded() as client:
    for head in ('', 'GET / HTT', HEAD):
      answer, _ = _sent(client, head)
      assert answer == b'', head
    # The second request of a connection, too.
    whole = 'GET / HTTP/1.1\r\nHost: {host}\r\n\r\n'
    answer, _ = _sent(client, whole + 'GET / HTT')
    assert answer.count(b'HTTP/1.1 200') == 1


def test_one_who_leaves_while_sending(caplog):
  with _guarded() as client:
    host, port = client.base_url.host, client.base_url.port
    for _ in range(5):
      with socket.create_connection((host, port)) as channel:
        head = HEAD.format(host=host) + 'Content-Length: 99\r\n\r\nabc'
        channel.sendall(head.encode())
    time.sleep(0.2)
    assert client.get('/api/echo').status_code == 200
  assert not caplog.records


def test_an_address_that_others_reach_needs_a_token(tmp_path, capsys):
  for host in ('0.0.0.0', '192.168.1.2', 'films.example.org', '::', ''):
    with pytest.raises(ConfigError, match='token_file'):
      Options(host=host).check()
    Options(host=host, token_file=str(tmp_path / 'token')).check()
  for host in ('127.0.0.1', 'localhost', '::1', '127.1.2.3'):
    Options(host=host).check()
  Options(hosts=('films.example.org',)).check()
  assert 'films.example.org sees the media' in capsys.readouterr().out


def test_a_token_is_made_once(tmp_path):
  path = tmp_path / 'new/token'
  options = Options(host='0.0.0.0', token_file=str(path))
  token = options.token()
  assert len(token) > 30
  assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
  assert options.token() == token
  assert Options().token() == ''
  path.write_text('short')
  with pytest.raises(ConfigError, match='at least 16'):
    options.token()


@pytest.mark.parametrize(
  'prefix', ['films', '/films/', '/', '//', '/api', '/static/a']
)
def test_prefixes_that_are_none(prefix):
  with pytest.raises(ConfigError) as error:
    Options(prefix=prefix).check()
  assert str(error.value) == (
    f"serve.prefix is {prefix!r}. Expected '' or a path such as '/search', "
    "without a slash at its end, and neither '/api' nor '/static', which the "
    'page has itself. Set --config.serve.prefix.'
  )


def test_an_address_that_is_taken():
  with serving.listen(Options(port=0)) as listener:
    port = listener.getsockname()[1]
    with pytest.raises(UserError, match=r'another program listens .*port=PORT'):
      serving.listen(Options(port=port))
  with pytest.raises(UserError, match=r'cannot listen at no\.such\.host'):
    serving.listen(Options(host='no.such.host.invalid'))


def test_the_api_is_described(app, client):
  """Each address is in the document, and the other way round."""
  document = client.get('openapi.json').json()
  described = {
    (method.upper(), path)
    for path, methods in document['paths'].items()
    for method in methods
    if method in ('get', 'post')
  }
  routes = {
    (method, route.path)
    for route in app.app.routes
    if isinstance(route, Route)
    for method in route.methods - {'HEAD'}
  }
  assert described == routes - {('GET', '/'), ('GET', '/openapi.json')}
  assert 'servers' not in document  # Then it is '/'.
  proxied = Page(Options(prefix='/films'), *[None] * 4, {}, [])
  document_ = json.loads(asyncio.run(proxied.openapi(None)).body)
  assert document_ == {**document, 'servers': [{'url': '/films'}]}
  schemas = document['components']['schemas']
  assert json.dumps(document).count('"$ref"') > 3
  for reference in _references(document):
    assert reference.removeprefix('#/components/schemas/') in schemas


def _references(part):
  if isinstance(part, dict):
    for key, value in part.items():
      if key == '$ref':
        yield value
      yield from _references(value)
  elif isinstance(part, list):
    for value in part:
      yield from _references(value)


def test_answers_have_the_fields_that_are_described(client):
  schemas = client.get('openapi.json').json()['components']['schemas']
  about = client.get('api/v1/about').json()
  assert about.keys() == schemas['About']['properties'].keys()
  found = client.post('api/v1/search', data={'text': 'anything'}).json()
  assert found.keys() == schemas['Found']['properties'].keys()
  answer = found['answers'][0]
  assert answer.keys() == schemas['Answer']['properties'].keys()
  file = client.get(f'api/v1/files/{answer["file"]}/about').json()
  assert file.keys() == schemas['File']['properties'].keys()
  error = client.get('api/v1/nowhere').json()
  assert error.keys() == schemas['Error']['properties'].keys()
  progress = client.get('api/v1/progress').json()
  assert progress.keys() == {'indexing'}
