"""Real browsers for the tests of the page, and what they see."""

import base64
import contextlib
import csv
import io
import pathlib
import shutil
import threading
import urllib.parse
from collections.abc import Iterator

import numpy as np
import pytest
import scipy.signal
import soundfile
import uvicorn

from avl_jax.extraction.decoding.limits import Limits
from avl_jax.page import service, serving
from avl_jax.page.options import Options
from avl_jax.search.query.searcher import Searcher
from tests.helpers.page import drawn, stand_in

NAMES = ('chromium', 'chromium-browser', 'google-chrome')
PREFIX = 'proxied'
ELSEWHERE = 'page.test'  # a name of the server that is not localhost
RECORD_FRAMES = """
window.frames_ = [];
document.addEventListener('loadstart', ({target}) => {
  const canvas = Object.assign(document.createElement('canvas'), {
    width: 3, height: 3});
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const look = (_, {mediaTime}) => {
    if (getComputedStyle(target).opacity !== '0') {
      context.drawImage(target, 0, 0, 3, 3);
      const pixel = [...context.getImageData(1, 1, 1, 1).data];
      window.frames_.push([mediaTime, pixel, target.src]);
    }
    target.requestVideoFrameCallback(look);
  };
  target.requestVideoFrameCallback?.(look);
}, true);
"""


def chromium() -> str:
  """Path of Chromium; skips the test where there is none."""
  found = next(filter(None, map(shutil.which, NAMES)), None)
  if not found:
    pytest.skip(f'No Chromium is installed: none of {", ".join(NAMES)}.')
  return found


@contextlib.contextmanager
def launched(sound: pathlib.Path) -> Iterator:
  """Context with a headless Chromium that hears a file.

  Args:
    sound: WAV file that its microphone plays once a recording.
  """
  reason = 'playwright is not installed: pip install playwright==1.65.2'
  api = pytest.importorskip('playwright.sync_api', reason=reason)
  path = chromium()
  with api.sync_playwright() as playwright:
    browser = playwright.chromium.launch(
      executable_path=path,
      args=[
        '--no-sandbox',
        '--autoplay-policy=no-user-gesture-required',
        '--use-fake-device-for-media-stream',
        '--use-fake-ui-for-media-stream',
        f'--use-file-for-fake-audio-capture={sound}%noloop',
        f'--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1',
      ],
    )
    yield browser
    browser.close()


@contextlib.contextmanager
def served(folder: pathlib.Path, token_file: str = '') -> Iterator[str]:
  """Context in which drawn media are served; the address of the page.

  Args:
    folder: for the media, 'media', and their index, 'index'.
    token_file: file with what visitors must know; '': nothing.
  """
  drawn.write_all(folder / 'media')
  stand_in.make_index(folder / 'index', folder / 'media')
  options = Options(
    port=0,
    hosts=(ELSEWHERE,),
    upload_bytes=4 * 2**20,
    token_file=token_file,
  )
  with (
    stand_in.replaced_model(),
    serving.listen(options) as listener,
    Searcher(
      folder / 'index',
      folder / 'example',
      media_dir=folder / 'media',
      load=stand_in.load,
      recordings=stand_in.recordings,
    ) as searcher,
    service.made(searcher, options, Limits(), 0.1) as app,
  ):
    config = uvicorn.Config(
      _proxied(app), http=serving.Protocol, lifespan='off', log_level='error'
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f'http://127.0.0.1:{listener.getsockname()[1]}/'
    server.should_exit = True
    thread.join()


def _proxied(app):
  """The same below `PREFIX` too, as a reverse proxy shows it."""

  async def answer(scope, receive, send):
    path = scope.get('path', '')
    if path.startswith(f'/{PREFIX}/'):
      scope = {**scope, 'path': path.removeprefix(f'/{PREFIX}')}
    await app(scope, receive, send)

  return answer


class Visits:
  """Opens pages, each for a visitor of its own."""

  def __init__(self, browser, address: str):
    self.browser, self.address = browser, address

  @contextlib.contextmanager
  def __call__(
    self, path: str = '', *, complaints: int = 0, host: str = '', **options
  ):
    """Context with the page of a visitor, when it is ready.

    At its end, the page must have said as many errors on its console as
    expected, and asked no other host.

    Args:
      path: behind the address of the page.
      complaints: errors that the visitor provokes.
      host: name of the server; '': its number.
      **options: of the visitor's browser, see playwright.
    """
    options = {'viewport': {'width': 1200, 'height': 900}, **options}
    context = self.browser.new_context(**{'locale': 'en', **options})
    context.set_default_timeout(30_000)
    context.add_init_script(RECORD_FRAMES)
    page, said, asked = context.new_page(), [], set()
    page.on('console', lambda said_: said.append(_text(said_)))
    page.on('pageerror', lambda error: said.append(str(error)))
    page.on('request', lambda request: asked.add(_host(request.url)))
    address = self.address.replace('127.0.0.1', host or '127.0.0.1')
    page.goto(address + path)
    page.wait_for_selector('#facts:not(:empty)')
    yield page
    context.close()
    assert len(said) == complaints, said
    assert asked - {''} == {_host(address)}


def _text(message) -> str:
  """What a console shows, and about which address."""
  return f'{message.text} {message.location.get("url", "")}'


def _host(address: str) -> str:
  """Host and port; '' of what the page has itself."""
  return urllib.parse.urlsplit(address).netloc


def ask(page, colour: str) -> None:
  """Asks by a sound that is dropped, and waits for the answers."""
  drop_tone(page, colour)
  answered(page)


def drop_tone(page, colour: str) -> None:
  """Drops the sound that asks for a colour."""
  file = io.BytesIO()
  soundfile.write(file, drawn.tone(colour, 1), drawn.RATE, format='WAV')
  drop(page, f'{colour}.wav', 'audio/wav', file.getvalue())


def searches(page) -> list[str]:
  """A list to which the address of each search from now on comes."""
  found: list[str] = []
  page.on('request', lambda x: 'v1/search' in x.url and found.append(x.url))
  return found


def answered(page) -> None:
  """Waits for the answers to the last question."""
  page.wait_for_selector('#cards[aria-busy=false] .card')


def titles(page) -> list[str]:
  """Names of the files that answer, the best first."""
  return page.locator('.card .name').all_inner_texts()


def drop(page, name: str, media_type: str, content: bytes) -> None:
  """Drops a file on the page."""
  page.evaluate(
    """([name, type, content]) => {
      const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], name, {type}));
      for (const kind of ['dragover', 'drop']) {
        document.body.dispatchEvent(new DragEvent(kind, {
          dataTransfer: transfer, bubbles: true, cancelable: true}));
      }
    }""",
    [name, media_type, base64.b64encode(content).decode()],
  )


def played(page, count: int = 3) -> list[tuple[float, str, str]]:
  """Second, colour and address of the first frames that were shown.

  The videos rest then, because drawing them costs the most here.
  """
  for _ in range(600):  # `wait_for_function` needs what the page forbids.
    if page.evaluate('frames_.length') >= count:
      break
    page.wait_for_timeout(50)
  frames = page.evaluate("""() => {
    document.querySelectorAll('video').forEach((video) => video.pause());
    return frames_;
  }""")[:count]
  assert len(frames) == count, page.inner_text('#answers')
  return [(time, drawn.nearest(pixel), src) for time, pixel, src in frames]


def still(page) -> tuple[float, str]:
  """Second and colour of the frame on which a video rests."""
  video = page.locator('video:not(.is-seeking)')
  for _ in range(600):
    found = video.evaluate("""(video) => {
      if (video.readyState < 2 || video.seeking) return null;
      const canvas = new OffscreenCanvas(3, 3);
      const context = canvas.getContext('2d');
      context.drawImage(video, 0, 0, 3, 3);
      const pixel = context.getImageData(1, 1, 1, 1).data;
      return [video.currentTime, [...pixel]];
    }""")
    if found:
      break
    page.wait_for_timeout(50)
  return found[0], drawn.nearest(found[1])


def likeness(heard, played):
  """Correlation of a recording with the part of a sound that it has."""
  heard = heard[: len(played)]
  products = scipy.signal.correlate(
    np.pad(played, len(heard)), heard / np.linalg.norm(heard), 'valid'
  )
  best = np.abs(products).argmax()
  part = np.pad(played, len(heard))[best : best + len(heard)]
  return abs(products[best]) / np.linalg.norm(part)


def download(page, press):
  """What a press of a button saves: name and content."""
  with page.expect_download() as waiting:
    press()
  file = waiting.value
  with open(file.path(), 'rb') as opened:
    return file.suggested_filename, opened.read()


def table_of_the_api(page, colour):
  """The answers to a colour in rows, as programs get them."""
  sound = io.BytesIO()
  soundfile.write(sound, drawn.tone(colour, 1), drawn.RATE, format='WAV')
  question = {
    'name': 'question.wav',
    'mimeType': 'audio/wav',
    'buffer': sound.getvalue(),
  }
  form = {'file': question, 'format': 'csv', 'k': '12'}
  address = page.evaluate("new URL('api/v1/search', document.baseURI).href")
  text = page.request.post(address, multipart=form).text()
  return list(csv.DictReader(io.StringIO(text)))


def value(text):
  """A number, rounded; or the text, if it is none."""
  try:
    return round(float(text), 4)
  except ValueError:
    return text


def trimmed(page, heard):
  """Start and length of what the page keeps of a recording."""
  return page.evaluate(
    """async ([heard, rate]) => {
      const {trim} = await import('./static/js/trim.js');
      const part = trim(Float32Array.from(heard), rate);
      return [part.byteOffset / 4, part.length];
    }""",
    [heard.tolist(), drawn.RATE],
  )
