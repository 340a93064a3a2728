"""The application: which address answers what."""

import contextlib
import json
import pathlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, BinaryIO

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from avl_jax.errors import ConfigError
from avl_jax.page import cancellation, errors, forms
from avl_jax.page.access import Access
from avl_jax.page.answering import Answering
from avl_jax.page.errors import TooLongError
from avl_jax.page.items import Item
from avl_jax.page.library import Library
from avl_jax.page.media import WIDTHS, Maker, media_type
from avl_jax.page.middleware import Guard
from avl_jax.page.options import Options
from avl_jax.page.playback import Playback
from avl_jax.page.range_response import OpenedResponse

_FOLDER = pathlib.Path(__file__).parent
_STATIC, _OPENAPI = _FOLDER / 'static', _FOLDER / 'openapi.json'
_KEEP = {'cache-control': 'private, max-age=3600'}
_TRIES = 3  # to make what is deleted before it can be sent
_LONG = 24 * 3600.0  # seconds; a later moment is none


class Page:
  """Answers all addresses but those of questions, which `Answering` does."""

  def __init__(
    self,
    options: Options,
    library: Library,
    maker: Maker,
    answering: Answering,
    plays: Playback,
    facts: Mapping[str, Any],
    folders: Sequence[pathlib.Path],
  ):
    """Takes what answers.

    Args:
      options: of the server.
      library: the files.
      maker: makes pictures and clips.
      answering: answers questions.
      plays: knows what a browser plays.
      facts: of `about` that stay: 'name', 'model', 'reads_text', 'answers'.
      folders: of the run and of the cache.
    """
    self._options, self._library, self._maker = options, library, maker
    self._answering, self._plays = answering, plays
    self._facts, self._own = dict(facts), folders

  def app(self, token: str) -> Guard:
    """The application, behind its guard.

    Args:
      token: that clients must send; '': none.
    """
    files = 'api/v1/files/{id}'
    get = ['GET']
    routes = [
      Route('/', self.index, methods=get),
      Route('/api/v1/about', self.about, methods=get),
      Route('/api/v1/search', self._answering.search, methods=['POST']),
      Route('/api/v1/progress', self.progress, methods=get),
      Route(f'/{files}', self.file, methods=get),
      Route(f'/{files}/about', self.about_file, methods=get),
      Route(f'/{files}/frame', self.frame, methods=get),
      Route(f'/{files}/clip', self.clip, methods=get),
      Route('/openapi.json', self.openapi, methods=get),
      Mount('/static', StaticFiles(directory=_STATIC)),
    ]
    handlers = errors.handlers(self._folders)
    app = Starlette(routes=routes, exception_handlers=handlers)
    access = Access(self._options, token, _STATIC / 'token.html')
    return Guard(app, self._options, access)

  def _folders(self) -> list[pathlib.Path | None]:
    """The server's own, which messages do not name."""
    library = self._library
    return [library.folder, library.media_dir, *self._own]

  async def index(self, _: Request) -> Response:
    """Answers GET ./ with the page."""
    headers = {'cache-control': 'no-cache'}
    return FileResponse(_STATIC / 'index.html', headers=headers)

  async def openapi(self, _: Request) -> Response:
    """Answers GET ./openapi.json."""
    text = await run_in_threadpool(_OPENAPI.read_text)
    document = json.loads(text)
    if self._options.prefix:  # Paths begin with a slash.
      document['servers'] = [{'url': self._options.prefix}]
    return JSONResponse(document)

  async def about(self, _: Request) -> Response:
    """Answers GET api/v1/about."""
    library = self._library
    await run_in_threadpool(library.refresh)
    items = list(library.by_path.values())
    return JSONResponse(
      {
        **self._facts,
        'index': {
          'files': len(items),
          'windows': library.windows,
          'hours': sum(item.file.seconds for item in items) / 3600,
        },
        'background': self._answering.background,
        'threshold': self._answering.threshold,
        'limits': {
          'upload_bytes': self._options.upload_bytes,
          'question_seconds': self._options.question_seconds,
          'clip_seconds': self._options.clip_seconds,
        },
        'filters': await run_in_threadpool(library.choices),
        'indexing': await run_in_threadpool(library.indexing),
      }
    )

  async def progress(self, _: Request) -> Response:
    """Answers GET api/v1/progress."""
    found = await run_in_threadpool(self._library.indexing)
    return JSONResponse({'indexing': found})

  async def file(self, request: Request) -> Response:
    """Answers GET api/v1/files/ID."""
    item, path = await self._found(request)
    file = await run_in_threadpool(self._library.open, item, path)
    return OpenedResponse(file, media_type(item.name), _KEEP, item.name)

  async def about_file(self, request: Request) -> Response:
    """Answers GET api/v1/files/ID/about."""
    item = await self._item(request)
    return JSONResponse({**item.facts(), **await self._plays(item)})

  async def frame(self, request: Request) -> Response:
    """Answers GET api/v1/files/ID/frame."""
    item, path = await self._found(request)
    time = _number(request, 't', 0)
    wanted = _number(request, 'width', 320, most=10 * WIDTHS[-1])
    width = next((w for w in WIDTHS if w >= wanted), WIDTHS[-1])
    file = await self._made(
      request, lambda: self._maker.frame(item, path, time, width)
    )
    return OpenedResponse(file, 'image/jpeg', _KEEP)

  async def clip(self, request: Request) -> Response:
    """Answers GET api/v1/files/ID/clip."""
    item, path = await self._found(request)
    start, end = _number(request, 'start'), _number(request, 'end')
    most = self._options.clip_seconds
    if not 0 < end - start <= most:
      raise ConfigError(
        f"'start' is {start:g} and 'end' is {end:g}. Expected a piece of at "
        f'most {most:g} s.'
      )
    file = await self._made(
      request, lambda: self._maker.clip(item, path, start, end)
    )
    name = f'{item.name.rpartition(".")[0]}.{start:g}-{end:g}.mp4'
    return OpenedResponse(file, 'video/mp4', _KEEP, name)

  async def _item(self, request: Request) -> Item:
    """The file that is asked for."""
    id = request.path_params['id']
    await run_in_threadpool(self._library.refresh)
    return self._library.find(id)

  async def _found(self, request: Request) -> tuple[Item, pathlib.Path]:
    """The file that is asked for, and its path."""
    item = await self._item(request)
    return item, await run_in_threadpool(self._library.path, item)

  async def _made(
    self,
    request: Request,
    work: Callable[[], Coroutine[Any, Any, pathlib.Path]],
  ) -> BinaryIO:
    """Opens a made file; makes it again if it is deleted before it is open."""
    seconds = self._options.answer_seconds
    for _ in range(_TRIES):
      path = await cancellation.while_there(request, work(), seconds)
      with contextlib.suppress(FileNotFoundError):
        return await run_in_threadpool(open, path, 'rb')
    raise TooLongError(
      'The cache evicted the file before it was sent. serve.cache_bytes is too '
      'small for the load. Try again in a moment.'
    )


def _number(
  request: Request,
  name: str,
  default: float | None = None,
  most: float = _LONG,
) -> float:
  """A number of the address; ConfigError if it is none."""
  text = request.query_params.get(name, '')
  if not text and default is not None:
    return default
  return forms.number(text, name, 0, most)
