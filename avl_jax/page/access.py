"""Access to the server: its host names, other sites, and the token."""

import hashlib
import hmac
import http.cookies
import pathlib
import urllib.parse

from starlette.datastructures import Headers
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.types import Scope

from avl_jax.page import errors
from avl_jax.page.options import Options, is_local

COOKIE = 'avl_page'
STATIC = '/static/'  # What everyone may have: it says nothing of the media.
_OWN = ('localhost', '127.0.0.1', '::1')
_DAYS = 90  # that a browser is remembered


class Access:
  """Says why a request may not pass."""

  def __init__(self, options: Options, token: str, form: pathlib.Path):
    """Takes what is expected.

    Args:
      options: of the server.
      token: that clients must send; '': none.
      form: page that asks a person for the token.
    """
    self._options, self._token, self._form = options, token, form
    # Whoever reads the cookie does not know the token.
    self._secret = hashlib.sha256(f'cookie {token}'.encode()).hexdigest()

  def refusal(self, scope: Scope) -> Response | None:
    """What is answered in place of the application; None: nothing."""
    headers = Headers(scope=scope)
    host = headers.get('host', '')
    if not self._is_ours(host):
      return errors.answer(
        421,
        f'The host {host!r} is not one of this server. Expected this '
        "computer's own name. Name others with --config.serve.hosts.",
      )
    if 'origin' in headers and not self._is_own_site(headers['origin'], host):
      return errors.answer(
        403, 'Another site asks. Expected the page of this server.'
      )
    path = scope['path'].removeprefix(self._options.prefix)
    if not self._token or path.startswith(STATIC):
      return None
    return self._check_token(scope, headers)

  def _is_ours(self, host: str) -> bool:
    """Whether a client has used one of the server's names.

    Others can be made to point to this computer by an attacker's site.
    """
    hosts = self._options.hosts
    if not is_local(self._options.host) and not hosts:
      return True  # Who lacks the token sees nothing.
    own = (*_OWN, self._options.host.strip('[]'), *hosts)
    return name_of(host) in map(str.lower, own)

  def _is_own_site(self, origin: str, host: str) -> bool:
    _, _, place = origin.partition('://')
    return place == host or name_of(place) in self._options.hosts

  def _check_token(self, scope: Scope, headers: Headers) -> Response | None:
    cookies = http.cookies.SimpleCookie()
    try:
      cookies.load(headers.get('cookie', ''))
    except http.cookies.CookieError:
      cookies.clear()
    if COOKIE in cookies and _same(cookies[COOKIE].value, self._secret):
      return None
    kind, _, given = headers.get('authorization', '').partition(' ')
    if kind.lower() == 'bearer' and _same(given.strip(), self._token):
      return None
    query = urllib.parse.parse_qsl(scope['query_string'].decode('latin-1'))
    if _same(dict(query).get('token', ''), self._token):
      return self._welcome(scope, query)
    is_page = scope['path'] == f'{self._options.prefix}/'
    if is_page and 'text/html' in headers.get('accept', ''):
      if dict(query).get('token'):
        return RedirectResponse(f'./{_query(query, wrong=True)}', 303)
      return FileResponse(self._form, 401)
    return errors.answer(
      401,
      'This server needs its token. Open it once as PAGE?token=TOKEN, or send '
      'the header "Authorization: Bearer TOKEN". The token is in the file '
      'that --config.serve.token_file names.',
      {'www-authenticate': 'Bearer'},
    )

  def _welcome(self, scope: Scope, query: list) -> Response:
    """The same address without the token, and a cookie in place of it."""
    last = scope['path'].rpartition('/')[2]
    response = RedirectResponse(f'./{last}{_query(query)}', 303)
    response.set_cookie(
      COOKIE,
      self._secret,
      max_age=_DAYS * 24 * 3600,
      path=f'{self._options.prefix}/',
      secure=scope['scheme'] == 'https',
      httponly=True,
      samesite='lax',  # Links to a moment come from elsewhere.
    )
    return response


def _query(pairs: list, wrong: bool = False) -> str:
  """The end of an address without the token, which is empty if it is wrong."""
  rest = [x for x in pairs if x[0] != 'token'] + [('token', '')] * wrong
  return f'?{urllib.parse.urlencode(rest)}' if rest else ''


def name_of(host: str) -> str:
  """The name in a Host header, without the port; '' if it is none."""
  try:
    return urllib.parse.urlsplit(f'//{host}').hostname or ''
  except ValueError:
    return ''


def _same(given: str, expected: str) -> bool:
  """Compares in a time that does not tell how much is right."""
  return hmac.compare_digest(given.encode(), expected.encode())
