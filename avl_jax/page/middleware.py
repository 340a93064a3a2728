"""Middleware for every request: access, limits of uploads, and headers.

Pure ASGI, so that bodies and files pass as a stream.
"""

import asyncio
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avl_jax.page import access, errors
from avl_jax.page.access import Access
from avl_jax.page.errors import UploadError
from avl_jax.page.options import Options, is_local

_FORM = 2**20  # bytes that a form may have beside the question
_BODY_SECONDS = 120.0  # that sending a question may take
_RANGE = re.compile(
  rb'bytes=\s*(\d{1,18}-\d{0,18}|-\d{1,18})'
  rb'(\s*,\s*(\d{1,18}-\d{0,18}|-\d{1,18}))*\s*',
  re.IGNORECASE,
)
_PAIR = re.compile(rb'(\d+)-(\d+)')
_HEADERS = {
  'content-security-policy': (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
  ),
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'microphone=(self), camera=(), geolocation=()',
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}


class Guard:
  """Lets through what may pass, with the headers of a careful server."""

  def __init__(self, app: ASGIApp, options: Options, access: Access):
    """Takes what is behind it.

    Args:
      app: the application.
      options: of the server.
      access: says who may not pass.
    """
    self.app, self._options, self._access = app, options, access

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request."""
    if scope['type'] != 'http':
      await self.app(scope, receive, send)
      return
    scope = _below(scope, self._options.prefix)
    body = _Body(receive, self._options.upload_bytes)

    async def send_safely(message: Message) -> None:
      if message['type'] == 'http.response.start':
        _complete(MutableHeaders(scope=message), scope, body)
      await send(message)

    response = self._way_in(scope) or self._refusal(scope)
    if response:
      await response(scope, receive, send_safely)
      return
    await self.app(scope, body, send_safely)

  def _refusal(self, scope: Scope) -> Response | None:
    if refusal := self._access.refusal(scope):
      return refusal
    length = Headers(scope=scope).get('content-length', '0')
    most = self._options.upload_bytes
    is_number = length.isdecimal() and len(length) < 20
    if not is_number or int(length) > most + _FORM:
      return errors.answer(413, errors.too_large(most))
    return None

  def _way_in(self, scope: Scope) -> Response | None:
    """Leads from '/search' to '/search/', so that relative addresses work."""
    if scope['path'] != self._options.prefix or not scope['path']:
      return None
    query = scope['query_string'].decode('latin-1')
    address = f'{self._options.prefix}/' + (f'?{query}' if query else '')
    return RedirectResponse(address, 307)


class _Body:
  """Receives a request's body, up to a size and for a time.

  Attributes:
    is_whole: whether all of it has come.
  """

  def __init__(self, receive: Receive, most: int):
    self._receive, self._left, self._most = receive, most + _FORM, most
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
      raise UploadError(
        408,
        f'The question did not arrive within {_BODY_SECONDS:.0f} s. Send a '
        'shorter one, or over a faster connection.',
      ) from reason
    self._left -= len(message.get('body', b''))
    self.is_whole = not message.get('more_body', False)
    if self._left < 0:
      raise UploadError(413, errors.too_large(self._most))
    return message


def _complete(headers: MutableHeaders, scope: Scope, body: _Body) -> None:
  """Adds the headers that every answer has."""
  asked = Headers(scope=scope)
  has_body = asked.get('content-length', '0') != '0'
  if (has_body or 'transfer-encoding' in asked) and not body.is_whole:
    headers['connection'] = 'close'  # What still comes is not read.
  for name, value in _HEADERS.items():
    headers.setdefault(name, value)
  # Elsewhere, browsers ignore it and say so.
  is_trusted = scope['scheme'] == 'https'
  if is_trusted or is_local(access.name_of(asked.get('host', ''))):
    headers['cross-origin-opener-policy'] = 'same-origin'
  is_static = f'{scope["path"]}/'.startswith(
    f'{scope["root_path"]}{access.STATIC}'
  )
  headers.setdefault('cache-control', 'no-cache' if is_static else 'no-store')


def _below(scope: Scope, prefix: str) -> Scope:
  """The request with the prefix, which a proxy may leave or take away."""
  path = scope['path']
  if path != prefix and not path.startswith(f'{prefix}/'):
    path = f'{prefix}{path}'
  # A range of other units, or none at all, is as if it were not there.
  headers = [
    (name, value)
    for name, value in scope['headers']
    if name != b'range' or _is_range(value)
  ]
  return {**scope, 'path': path, 'root_path': prefix, 'headers': headers}


def _is_range(value: bytes) -> bool:
  """Whether a Range header asks for bytes of a file, none backwards."""
  if not _RANGE.fullmatch(value):
    return False
  return all(int(a) <= int(b) for a, b in _PAIR.findall(value))
