"""Listens at an address, and serves the page until a signal comes."""

import asyncio
import errno
import signal
import socket

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from avl_jax import logs
from avl_jax.errors import UserError
from avl_jax.page.options import Options

_HEADER_SECONDS = 15.0  # that the head of a request may take
_STALL_SECONDS = 120.0  # that a client may read nothing; browsers ask again
_KEEP_SECONDS = 15  # that a connection may be idle
_END_SECONDS = 5  # that answers may take when the server ends
_BACKLOG = 128


def listen(options: Options) -> socket.socket:
  """A socket at the server's address.

  Raises:
    UserError: the address cannot be used.
  """
  host, port = options.host.strip('[]'), options.port
  try:
    family, *_, address = socket.getaddrinfo(
      host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
      listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      listener.bind(address)
      listener.listen(_BACKLOG)
    except OSError:
      listener.close()
      raise
  except OSError as error:
    what = error.strerror or str(error)
    todo = 'Choose another one, --config.serve.host or --config.serve.port.'
    if error.errno == errno.EADDRINUSE:
      what = 'another program listens there, perhaps another server of the page'
      todo = 'Stop it, or choose another port, --config.serve.port=PORT.'
    raise UserError(
      f'The server cannot listen at {host}, port {port}: {what}. Expected a '
      f'free address of this computer. {todo}'
    ) from error
  return listener


def server(app: ASGIApp, options: Options) -> uvicorn.Server:
  """The server of an application."""
  config = uvicorn.Config(
    app,
    http=Protocol,
    ws='none',
    lifespan='off',
    log_level='error',
    access_log=False,  # Addresses may have a token.
    server_header=False,
    limit_concurrency=options.connections,
    backlog=_BACKLOG,
    timeout_keep_alive=_KEEP_SECONDS,
    timeout_graceful_shutdown=_END_SECONDS,
    proxy_headers=True,
    forwarded_allow_ips='127.0.0.1,::1',
  )
  return uvicorn.Server(config)


def run(app: ASGIApp, listener: socket.socket, options: Options) -> None:
  """Serves until SIGTERM or SIGINT, which end it after the present answers."""
  # uvicorn raises the signal again when it has ended.
  ends = (signal.SIGTERM, signal.SIGINT)
  before = {number: signal.signal(number, _ignore) for number in ends}
  try:
    server(app, options).run(sockets=[listener])
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
    listener.close()
  logs.write('The server has ended.')


def _ignore(*_) -> None:
  """The signal has been seen to."""


class Protocol(H11Protocol):
  """uvicorn's, but closes the connections of clients that are too slow."""

  _head: asyncio.TimerHandle | None = None
  _stall: asyncio.TimerHandle | None = None

  def connection_made(self, transport: asyncio.Transport) -> None:  # pyrefly: ignore[bad-override]: as uvicorn's own
    """Waits for the first request."""
    super().connection_made(transport)
    self._watch_head()

  def data_received(self, data: bytes) -> None:
    """Reads; a request that has begun has to come soon."""
    super().data_received(data)
    self._watch_head()

  def _watch_head(self) -> None:
    if self.conn.their_state is not h11.IDLE:
      if self._head:
        self._head.cancel()
      self._head = None
    elif not self._head:
      self._head = self.loop.call_later(_HEADER_SECONDS, self._end_head)

  def _end_head(self) -> None:
    self._head = None
    if self.conn.their_state is h11.IDLE:
      self.transport.close()

  def pause_writing(self) -> None:
    """Waits for a client that reads nothing."""
    super().pause_writing()
    self._stall = self.loop.call_later(_STALL_SECONDS, self.transport.abort)

  def resume_writing(self) -> None:
    """The client has read something."""
    super().resume_writing()
    if self._stall:
      self._stall.cancel()
    self._stall = None

  def connection_lost(self, exc: Exception | None) -> None:
    """Ends the watches."""
    for timer in filter(None, (self._head, self._stall)):
      timer.cancel()
    super().connection_lost(exc)
