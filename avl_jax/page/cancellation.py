"""Waits for work, and cancels it when its client leaves or time is up."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from avl_jax.page.errors import GoneError, TooLongError

Result = TypeVar('Result')
_PAUSE = 0.2  # seconds between checks that the client is connected


async def while_there(
  request: Request, work: Coroutine[Any, Any, Result], seconds: float
) -> Result:
  """The result of work, which is cancelled when the client disconnects.

  Args:
    request: of the client, whose body has been read.
    work: that is waited for.
    seconds: that it may take.

  Raises:
    GoneError: the client has disconnected.
    TooLongError: the time is up.
  """
  task = asyncio.ensure_future(work)
  ends = asyncio.get_running_loop().time() + seconds
  try:
    while not task.done():
      await asyncio.wait([task], timeout=_PAUSE)
      if task.done():
        break
      if await request.is_disconnected():
        raise GoneError
      if asyncio.get_running_loop().time() > ends:
        raise TooLongError(
          f'The answer takes more than {seconds:g} s. Ask a shorter question, '
          'or later.'
        )
    return task.result()
  finally:
    if not task.done():
      task.cancel()
      await asyncio.wait([task])
