"""Saves pictures of the page, to be looked at.

  python -m tests.page.screenshots FOLDER

They show the drawn media of the tests: answers in light and dark, on a phone,
in English and French, the help, and the page while nothing fits. `page.png` is
the one of the README.
"""

import pathlib
import sys
import tempfile

import soundfile
from PIL import Image

from tests.helpers.page import browsing, drawn

PHONE = {'width': 390, 'height': 844}
SHOTS = {  # name -> options of the visitor, what is shown
  'page': ({'viewport': {'width': 1180, 'height': 900}}, 'answers'),
  'dark': ({'color_scheme': 'dark'}, 'answers'),
  'start': ({}, 'start'),
  'start-fr': ({'locale': 'fr'}, 'start'),
  'recording': ({}, 'recording'),
  'filters': ({}, 'filters'),
  'nothing': ({'viewport': {'width': 1280, 'height': 900}}, 'nothing'),
  'nothing-phone': ({'viewport': PHONE}, 'nothing'),
  'help-fr': ({'locale': 'fr', 'color_scheme': 'dark'}, 'help'),
  'phone': ({'viewport': PHONE}, 'answers'),
  'phone-fr-dark': (
    {'viewport': PHONE, 'locale': 'fr', 'color_scheme': 'dark'},
    'filters',
  ),
}


def main(folder: pathlib.Path) -> None:
  """Saves all of them."""
  folder.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory() as temporary:
    scratch = pathlib.Path(temporary)
    sound = scratch / 'voice.wav'
    soundfile.write(sound, drawn.voice('blue', 3), drawn.RATE)
    with (
      browsing.launched(sound) as browser,
      browsing.served(scratch) as address,
    ):
      visits = browsing.Visits(browser, address)
      for name, (options, state) in SHOTS.items():
        with visits(**options) as page:
          bring(page, state)
          path = folder / f'{name}.png'
          page.screenshot(path=path, full_page=name != 'page')
          with Image.open(path) as image:  # A third of the size.
            image.convert('RGB').quantize(256).save(path, optimize=True)


def bring(page, state: str) -> None:
  """Brings the page into a state of `SHOTS`."""
  if state == 'start':
    return
  if state == 'help':
    page.click('#help-open')
    return
  if state == 'nothing':
    browsing.ask(page, 'red')
    page.focus('#threshold')
    page.keyboard.press('Home')
  else:
    page.click('#record')
    page.wait_for_selector('#clock:text("0:02")')
    if state == 'recording':
      return
    page.click('#record')
    browsing.answered(page)
  if state == 'filters':
    page.click('#filters summary')
  for frame in page.locator('.card img').all():
    frame.scroll_into_view_if_needed()
    frame.evaluate('(image) => image.decode().catch(() => {})')
  page.evaluate('window.scrollTo(0, 0); document.activeElement.blur()')


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]))
