"""Options of the page's server, among them the limits of a client."""

import dataclasses
import ipaddress
import os
import pathlib
import secrets

from avl_jax import files, logs
from avl_jax.errors import ConfigError
from avl_jax.page import cache

_LEAST = 16  # characters of a token


@dataclasses.dataclass(frozen=True)
class Options:
  """Options of the server.

  Attributes:
    host: address to listen at; another than this computer's own needs a token.
    port: of it; 0: a free one.
    prefix: path under which a reverse proxy shows the page, such as '/search'.
    hosts: further names under which clients reach the server.
    token_file: file with the token that clients send; made if it is missing.
      '': everyone who reaches the server may use it.
    cache_dir: folder of pictures and clips; '': a temporary one.
    cache_bytes: that it may hold.
    upload_bytes: of a question.
    question_seconds: of a question.
    clip_seconds: of a clip that is cut.
    askers: questions that may wait at once; more are refused for the moment.
    answer_seconds: that a client waits for an answer at most.
    connections: that may be open at once.
  """

  host: str = '127.0.0.1'
  port: int = 8008
  prefix: str = ''
  hosts: tuple[str, ...] = ()
  token_file: str = ''
  cache_dir: str = ''
  cache_bytes: int = 2 * 2**30
  upload_bytes: int = 64 * 2**20
  question_seconds: float = 120.0
  clip_seconds: float = 60.0
  askers: int = 32
  answer_seconds: float = 60.0
  connections: int = 200

  def check(self) -> None:
    """Raises ConfigError if the server must not be started like this."""
    if not is_local(self.host) and not self.token_file:
      raise ConfigError(
        f'serve.host is {self.host!r}, which others can reach, and '
        "serve.token_file is ''. Expected a file with a token, so that not "
        'everyone who reaches the server sees the media. Set '
        '--config.serve.token_file=FILE (it is made if it is missing), or '
        "leave serve.host at '127.0.0.1'."
      )
    good = not self.prefix or (
      self.prefix.startswith('/') and self.prefix.strip('/')
    )
    own = self.prefix.split('/')[1:2] in (['api'], ['static'])
    if not good or own or self.prefix.endswith('/'):
      raise ConfigError(
        f"serve.prefix is {self.prefix!r}. Expected '' or a path such as "
        "'/search', without a slash at its end, and neither '/api' nor "
        "'/static', which the page has itself. Set --config.serve.prefix."
      )
    if self.hosts and not self.token_file:
      logs.write(
        f'Whoever reaches {", ".join(self.hosts)} sees the media: '
        "serve.token_file is ''."
      )
    if self.cache_dir:
      cache.check_folder(pathlib.Path(self.cache_dir).expanduser())

  def token(self) -> str:
    """The token; '': none is needed.

    Raises:
      ConfigError: the file has none that is long enough.
      UserError: it cannot be made.
    """
    if not self.token_file:
      return ''
    path = pathlib.Path(self.token_file).expanduser()
    if not path.exists():
      with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(path, flags, 0o600), 'w') as file:
          file.write(f'{secrets.token_urlsafe(32)}\n')
    try:
      token = path.read_text().strip()
    except (OSError, ValueError):
      token = ''
    if len(token) < _LEAST or not token.isascii() or not token.isprintable():
      raise ConfigError(
        f'{path} has no token that can be read. Expected a line of at least '
        f'{_LEAST} letters and digits. Delete the file, and the server makes '
        'one.'
      )
    return token


def is_local(host: str) -> bool:
  """Whether an address can be reached from this computer alone."""
  if host == 'localhost':
    return True
  try:
    return ipaddress.ip_address(host.strip('[]')).is_loopback
  except ValueError:
    return False
