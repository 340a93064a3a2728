"""Sends an open file, whole or in the ranges that a browser asks for."""

import os
from collections.abc import Mapping
from typing import BinaryIO

from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from avl_jax.page import errors


class OpenedResponse(FileResponse):
  """The content of an open file, which may be deleted meanwhile."""

  def __init__(
    self,
    file: BinaryIO,
    media_type: str,
    headers: Mapping[str, str],
    name: str | None = None,
  ):
    """Takes over the file.

    Args:
      file: closed at the end.
      media_type: of it.
      headers: of the answer.
      name: under which a browser saves what it shows.
    """
    super().__init__(
      f'/dev/fd/{file.fileno()}',  # Each opening of it reads the same file.
      media_type=media_type,
      headers=headers,
      filename=name,
      stat_result=os.fstat(file.fileno()),
      content_disposition_type='inline',
    )
    self._file = file

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    """Sends it; of a range beyond its end, says so as all errors are said."""
    sizes = []

    async def send_or_keep(message: Message) -> None:
      if message.get('status') == 416:
        sizes.append(Headers(raw=message['headers'])['content-range'])
      if not sizes:
        await send(message)

    with self._file:
      await super().__call__(scope, receive, send_or_keep)
    for size in sizes:
      response = errors.answer(
        416,
        'The range begins behind the end of the file. Expected one within its '
        f'{size.rpartition("/")[2]} bytes.',
        {'content-range': size},
      )
      await response(scope, receive, send)
