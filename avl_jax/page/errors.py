"""Error responses: a status and a message."""

import pathlib
from collections.abc import Callable, Iterable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from avl_jax import logs
from avl_jax.errors import ConfigError, UserError
from avl_jax.features import MediaError, Status
from avl_jax.page import messages

_LONGEST = 2000  # characters of a message in the log
_WRITTEN = 1000  # messages that are not written into the log again


class UploadError(Exception):
  """A client sends more than is allowed, or too slowly.

  Attributes:
    status: of the response.
  """

  def __init__(self, status: int, message: str):
    super().__init__(message)
    self.status = status


class BusyError(UserError):
  """Too many clients are waiting."""

  def __init__(self, count: int):
    super().__init__(
      f'{count} others are waiting for an answer. Ask again in a moment.'
    )


class TooLongError(UserError):
  """An answer takes too long."""


class GoneError(Exception):
  """The client has disconnected."""


def answer(
  status: int, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
  """JSON response for an error."""
  return JSONResponse({'error': message}, status, headers)


def too_large(most: int) -> str:
  """Message for an upload over `most` bytes."""
  return (
    f'The question is larger than {most / 2**20:g} MiB. Send a shorter piece.'
  )


def handlers(folders: Callable[[], Iterable[pathlib.Path | None]]) -> dict:
  """Exception handlers of the application.

  Args:
    folders: of the server, whose paths are removed from messages.
  """
  written: set[int] = set()

  def shown(text: str) -> str:
    """Message for clients; the log has its commands, once."""
    known = messages.without_commands(text)
    if known != text and hash(text) not in written:
      if len(written) >= _WRITTEN:
        written.clear()
      written.add(hash(text))
      logs.write(text[:_LONGEST])
    return messages.without_folders(known, folders())

  def fail(_: Request, error: Exception) -> Response:
    return _fail(error, shown)

  return {
    HTTPException: fail,
    UserError: fail,
    UploadError: fail,
    GoneError: _leave,
    ClientDisconnect: _leave,
    Exception: _break,
  }


def _fail(error: Exception, shown: Callable[[str], str]) -> Response:
  """Response to an error that has a message."""
  if isinstance(error, HTTPException):
    return answer(error.status_code, f'{error.detail}.', error.headers)
  if isinstance(error, UploadError):
    return answer(error.status, str(error))
  if isinstance(error, BusyError | TooLongError):
    return answer(503, shown(str(error)), {'retry-after': '5'})
  status = 400 if isinstance(error, ConfigError) else 422
  if isinstance(error, MediaError) and error.reason == Status.MISSING:
    status = 404
  return answer(status, shown(str(error)))


def _break(_: Request, __: Exception) -> Response:
  """Response to an unexpected error."""
  return answer(500, 'The server has failed. Its log has the error.')


def _leave(_: Request, __: Exception) -> Response:
  """Response after the client has disconnected."""
  return Response(status_code=499)
