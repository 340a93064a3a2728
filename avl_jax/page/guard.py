"""What every request passes: who may ask, how much may be sent, and headers.

Pure ASGI, so that bodies and files pass as a stream.
"""

import asyncio
import hashlib
import hmac
import http.cookies
import urllib.parse
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avl_jax.page.options import Options, is_local

COOKIE = 'avl_page'
_OWN = ('localhost', '127.0.0.1', '::1')
_FORM = 2**20  # bytes that a form may have beside the question
_BODY_SECONDS = 120.0  # that sending a question may take
_HEADERS = {
  'content-security-policy': (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
  ),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'microphone=(self), camera=(), geolocation=()',
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}


class TooLargeError(Exception):
  """A visitor sends more than is taken, or too slowly."""

  def __init__(self, status: int, message: str):
    super().__init__(message)
    self.status = status


class Guard:
  """Lets through what may pass, with the headers of a careful server."""

  def __init__(self, app: ASGIApp, options: Options, token: str):
    """Takes what is behind it.

    Args:
      app: the application.
      options: of the server.
      token: that visitors must know; '': none.
    """
    self._app, self._options, self._token = app, options, token
    self._secret = hashlib.sha256(f'cookie {token}'.encode()).hexdigest()

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request."""
    if scope['type'] != 'http':
      await self._app(scope, receive, send)
      return

    body = _Body(receive, self._options.upload_bytes + _FORM)

    async def send_safely(message: Message) -> None:
      if message['type'] == 'http.response.start':
        headers = MutableHeaders(scope=message)
        if _has_body(scope) and not body.is_whole:
          headers['connection'] = 'close'  # What still comes is not read.
        for name, value in _HEADERS.items():
          headers.setdefault(name, value)
        headers.setdefault('cache-control', 'no-store')
      await send(message)

    scope = _below(scope, self._options.prefix)
    response = self._refusal(scope) or self._way_in(scope)
    if response:
      await response(scope, receive, send_safely)
      return
    await self._app(scope, body, send_safely)

  def _refusal(self, scope: Scope) -> Response | None:
    """What is answered in place of the application; None: nothing."""
    headers = Headers(scope=scope)
    if not self._is_ours(host := headers.get('host', '')):
      return error(
        421,
        f'The host {host!r} is not one of this server. Expected this '
        "computer's own name. Name others with --config.serve.hosts.",
      )
    origin = urllib.parse.urlsplit(headers.get('origin', f'//{host}'))
    if origin.netloc != host and origin.netloc not in self._options.hosts:
      return error(403, 'Another site asks. Expected the page of this server.')
    length = headers.get('content-length', '0')
    most = self._options.upload_bytes
    if not length.isdigit() or int(length) > most + _FORM:
      return error(413, too_large(most))
    return self._check_token(scope, headers) if self._token else None

  def _is_ours(self, host: str) -> bool:
    """Whether a visitor has used one of the server's names."""
    hosts = self._options.hosts
    if not is_local(self._options.host) and not hosts:
      return True  # Who lacks the token sees nothing.
    try:
      name = urllib.parse.urlsplit(f'//{host}').hostname or ''
    except ValueError:
      return False
    own = (*_OWN, self._options.host.strip('[]'), *hosts)
    return name in map(str.lower, own)

  def _way_in(self, scope: Scope) -> Response | None:
    """Leads from '/search' to '/search/', so that relative addresses work."""
    if scope['path'] != self._options.prefix or not scope['path']:
      return None
    query = scope['query_string'].decode('latin-1')
    address = f'{self._options.prefix}/' + (f'?{query}' if query else '')
    return RedirectResponse(address, 307)

  def _check_token(self, scope: Scope, headers: Headers) -> Response | None:
    cookies = http.cookies.SimpleCookie()
    try:
      cookies.load(headers.get('cookie', ''))
    except http.cookies.CookieError:
      cookies.clear()
    if cookies.get(COOKIE) and _same(cookies[COOKIE].value, self._secret):
      return None
    kind, _, given = headers.get('authorization', '').partition(' ')
    if kind.lower() == 'bearer' and _same(given.strip(), self._token):
      return None
    query = urllib.parse.parse_qsl(scope['query_string'].decode('latin-1'))
    if _same(dict(query).get('token', ''), self._token):
      return self._welcome(scope, query)
    return error(
      401,
      'This server needs its token. Open it once as PAGE?token=TOKEN, or send '
      'the header "Authorization: Bearer TOKEN". The token is in the file '
      'that --config.serve.token_file names.',
      {'www-authenticate': 'Bearer'},
    )

  def _welcome(self, scope: Scope, query: list) -> Response:
    """The same address without the token, and a cookie in place of it."""
    rest = urllib.parse.urlencode([x for x in query if x[0] != 'token'])
    last = scope['path'].rpartition('/')[2]
    response = RedirectResponse(f'./{last}' + (f'?{rest}' if rest else ''), 303)
    response.set_cookie(
      COOKIE,
      self._secret,
      max_age=90 * 24 * 3600,
      path=f'{self._options.prefix}/',
      secure=scope['scheme'] == 'https',
      httponly=True,
      samesite='lax',
    )
    return response


class _Body:
  """Receives a request's body, up to a size and for a time.

  Attributes:
    is_whole: whether all of it has come.
  """

  def __init__(self, receive: Receive, most: int):
    self._receive, self._left, self._most = receive, most, most
    self._ends: float | None = None
    self.is_whole = False

  async def __call__(self) -> Message:
    if self.is_whole:
      return await self._receive()
    now = asyncio.get_running_loop().time()
    self._ends = self._ends or now + _BODY_SECONDS
    try:
      async with asyncio.timeout_at(self._ends):
        message = await self._receive()
    except TimeoutError as reason:
      raise TooLargeError(
        408,
        f'The question did not arrive within {_BODY_SECONDS:.0f} s. Send a '
        'shorter one, or over a faster connection.',
      ) from reason
    self._left -= len(message.get('body', b''))
    self.is_whole = not message.get('more_body', False)
    if self._left < 0:
      raise TooLargeError(413, too_large(self._most - _FORM))
    return message


def _has_body(scope: Scope) -> bool:
  headers = Headers(scope=scope)
  length = headers.get('content-length', '0')
  return length != '0' or 'transfer-encoding' in headers


def too_large(most: int) -> str:
  """What is said of a question that is too large."""
  return (
    f'The question is larger than {most / 2**20:g} MiB. Send a shorter piece.'
  )


def error(
  status: int, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
  """The answer in place of one."""
  return JSONResponse({'error': message}, status, headers)


def _below(scope: Scope, prefix: str) -> Scope:
  """The request with the prefix, which a proxy may leave or take away."""
  path = scope['path']
  if path != prefix and not path.startswith(f'{prefix}/'):
    path = f'{prefix}{path}'
  return {**scope, 'path': path, 'root_path': prefix}


def _same(given: str, expected: str) -> bool:
  """Compares in a time that does not tell how much is right."""
  return hmac.compare_digest(given.encode(), expected.encode())
