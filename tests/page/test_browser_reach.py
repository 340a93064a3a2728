"""The page for everyone: phone, dark, keyboard, screen readers, languages."""

import json
import os
import re
import socket

import numpy as np
import pytest

from tests.helpers.page import browsing, drawn
from tests.helpers.page.browsing import answered, ask, played, titles

pytestmark = pytest.mark.slow
PHONE = {'width': 390, 'height': 844}
WANTED = 'The server asks for its token. Load this page again and enter it.'
# Contrast of each text with what is behind it, the least first.
CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1);
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const parts = colour.map((x) => x / 255).map((x) =>
      x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = rgba(getComputedStyle(each).backgroundColor);
      if (colour[3] > 180) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim();
    const element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility({opacityProperty: true})) continue;
    if (element.closest('noscript, button:disabled')) continue;
    const pair = [light(rgba(getComputedStyle(element).color)),
                  light(behind(element))];
    found.push([(Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05), text]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""


def _scrolls_sideways(page):
  """Pixels that the page is wider than the window."""
  return page.evaluate('document.documentElement.scrollWidth - innerWidth')


@pytest.mark.parametrize('locale', ['en', 'fr-CA'])
def test_a_phone_shows_all_without_scrolling_sideways(visits, locale):
  with visits(viewport=PHONE, locale=locale, has_touch=True) as page:
    assert _scrolls_sideways(page) == 0
    ask(page, 'red')
    page.click('#filters summary')
    assert _scrolls_sideways(page) == 0
    page.locator('.card .poster').first.tap()
    assert played(page, 1)[0][1] == 'red'
    assert _scrolls_sideways(page) == 0
    small = page.evaluate("""() =>
      [...document.querySelectorAll('button, a, select, input, summary')]
        .filter((it) => it.checkVisibility() && !it.matches('.unseen, .skip'))
        .map((it) => [it.getBoundingClientRect().height, it.outerHTML])
        .filter(([height]) => height > 0 && height < 24
        )""")
    assert [html for _, html in small if 'range' not in html] == []
    page.click('#help-open')
    box = page.locator('#help').bounding_box()
    assert box['x'] >= 0
    assert box['x'] + box['width'] <= PHONE['width']


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_texts_can_be_read_in_light_and_dark(visits, scheme):
  with visits(color_scheme=scheme) as page:
    ask(page, 'red')
    page.click('#filters summary')
    page.focus('#threshold')
    for key in ('End', 'Home'):
      page.keyboard.press(key)
      contrasts = page.evaluate(CONTRASTS)
      assert len(contrasts) > 60
      assert contrasts[0][0] >= 4.5, contrasts[:3]
    page.click('#help-open')
    assert page.evaluate(CONTRASTS)[0][0] >= 4.5
    ground = page.evaluate('getComputedStyle(document.body).backgroundColor')
    channels = [int(x) for x in ground[4:-1].split(',')]
    assert (sum(channels) < 3 * 128) == (scheme == 'dark')


def test_keyboard_alone_asks_plays_and_seeks(visits):
  with visits() as page:
    page.keyboard.press('Tab')
    assert page.evaluate('document.activeElement.className') == 'skip'
    page.keyboard.press('r')
    page.wait_for_selector('#clock:text("0:01")')
    page.keyboard.press('r')
    browsing.answered(page)
    assert titles(page)[0] == 'morning.mp4'
    page.keyboard.press('j')
    page.keyboard.press('Tab')
    focused = page.evaluate('document.activeElement.getAttribute("aria-label")')
    assert focused == 'Play morning.mp4 from 0:03'
    page.keyboard.press('Enter')
    assert played(page, 1)[0][1] == 'red'
    assert page.evaluate('document.activeElement.tagName') == 'VIDEO'
    # The bars are a slider.
    page.evaluate('frames_ = []')
    for _ in range(20):
      page.keyboard.press('Tab')
      if page.evaluate('document.activeElement.role') == 'slider':
        break
    page.keyboard.press('Home')
    start = page.evaluate('Number(document.activeElement.ariaValueMin)')
    time, colour, _ = played(page, 1)[0]
    assert time == pytest.approx(start, abs=0.2)
    assert colour == drawn.colours('garden/morning.mp4')[int(start)]
    page.keyboard.press('m')
    page.wait_for_selector('#asked:has-text("More like morning.mp4")')
    browsing.answered(page)
    assert page.evaluate('document.activeElement.id') == 'answers'
    page.keyboard.press('/')
    page.keyboard.type('violet')
    page.keyboard.press('Enter')
    page.wait_for_selector('#asked:has-text("Your words: violet")')
    browsing.answered(page)
    assert titles(page)[0] == 'old film.avi'
    page.locator('#answers').focus()
    page.keyboard.press('?')
    assert page.is_visible('#help')
    page.uncheck('#keys-on')
    page.keyboard.press('Escape')
    page.keyboard.press('?')
    assert not page.is_visible('#help')


def test_focus_is_seen_wherever_it_goes(visits):
  with visits() as page:
    ask(page, 'red')
    page.evaluate('document.body.focus(); window.scrollTo(0, 0)')
    seen = []
    for _ in range(45):
      page.keyboard.press('Tab')
      seen.append(
        page.evaluate("""() => {
          const it = document.activeElement;
          const ring = it.id === 'file' ? it.parentElement : it;
          const style = getComputedStyle(ring);
          return [it.id || it.className || it.tagName,
                  style.outlineStyle, parseFloat(style.outlineWidth)];
        }""")
      )
    names = [name for name, *_ in seen]
    order = ['skip', 'tongue', 'help-open', 'record', 'file', 'words-text']
    assert [name for name in names if name in order][: len(order)] == order
    assert {'poster', 'slider', 'quiet like', 'threshold'} <= set(names)
    ringed = [x for x in seen if x[0] not in ('BODY', 'asked-media', 'AUDIO')]
    assert len(ringed) > 30
    assert all(style != 'none' and width >= 2 for _, style, width in ringed)


def test_a_screen_reader_finds_its_way(visits):
  with visits() as page:
    ask(page, 'red')
    client = page.context.new_cdp_session(page)
    nodes = client.send('Accessibility.getFullAXTree')['nodes']
    known = [
      (node['role']['value'], node.get('name', {}).get('value', ''))
      for node in nodes
      if not node['ignored']
    ]
    roles = {role for role, _ in known}
    assert {'banner', 'main', 'contentinfo', 'search', 'status'} <= roles
    assert ('region', 'Answers') in known
    assert ('image', 'flag.png') in known
    used = ('button', 'link', 'textbox', 'searchbox', 'slider', 'combobox')
    named = [name for role, name in known if role in used]
    assert len(named) > 40
    assert all(name.strip() for name in named)
    assert 'Play morning.mp4 from 0:03' in named
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(x => x.id)")
    assert len(ids) == len(set(ids))
    assert page.locator('h1').count() == 1
    live = page.locator('[role=status]#status')
    assert 'fit' in live.inner_text()
    assert page.locator('#error').get_attribute('role') == 'alert'
    page.emulate_media(reduced_motion='reduce')
    moves = "getComputedStyle(document.querySelector('#said'))"
    assert page.evaluate(f'{moves}.transitionDuration') == '0s'


def test_the_page_speaks_french_and_is_switched(visits):
  with visits(locale='fr-FR') as page:
    assert page.evaluate('document.documentElement.lang') == 'fr'
    assert page.title() == 'Interroger vos vidéos'
    ask(page, 'red')
    assert 'Convient le mieux à 0:03' in page.inner_text('.card')
    assert '%' in page.inner_text('#threshold-text')
    assert page.evaluate("document.body.innerText.includes('answers')") is False
    page.select_option('#tongue', 'en')
    page.wait_for_selector('h2:text("Answers")')
    assert 'Fits best at 0:03' in page.inner_text('.card')
    page.reload()
    page.wait_for_selector('h2:text("Say what you are looking for")')


def test_without_a_microphone_the_page_says_why(visits):
  with visits(host=browsing.ELSEWHERE) as page:
    assert 'neither' in page.inner_text('#no-microphone')
    assert page.is_disabled('#record')
    ask(page, 'red')
    assert titles(page)[0] == 'morning.mp4'
  with visits() as page:
    page.evaluate("""() => {
      navigator.mediaDevices.getUserMedia = () =>
        Promise.reject(new DOMException('no', 'NotAllowedError'));
    }""")
    page.click('#record')
    page.wait_for_selector('#error:not(:empty)')
    assert 'does not give this page the microphone' in page.inner_text('#error')


def test_a_recording_is_discarded(visits):
  with visits() as page:
    page.click('#record')
    page.wait_for_selector('#clock:text("0:01")')
    page.keyboard.press('Escape')
    assert not page.is_visible('#listening')
    assert page.inner_text('#record-text') == 'Record a question'
    assert not page.is_visible('#asked')
    assert titles(page) == []


def test_who_asks_otherwise_gives_up_the_recording(visits):
  """Not by a file that is refused."""
  with visits() as page:
    ask(page, 'red')
    for act in (
      lambda: browsing.drop_tone(page, 'blue'),
      page.locator('.card .like').first.click,
      lambda: (page.fill('#words-text', 'pink'), page.keyboard.press('Enter')),
    ):
      page.click('#record')
      page.wait_for_selector('#listening')
      browsing.drop(page, 'long.wav', 'audio/wav', bytes(5 * 2**20))
      assert 'At most 4 MB' in page.inner_text('#error')
      assert page.is_visible('#listening')
      with page.expect_response('**/search'):
        act()
      assert not page.is_visible('#listening')
      answered(page)
    # Nor does one begin that was still being opened.
    page.evaluate("""() => {
      const devices = navigator.mediaDevices;
      const real = devices.getUserMedia.bind(devices);
      devices.getUserMedia = (options) => new Promise((done) => {
        window.open_ = () => done(window.stream_ = real(options)); });
    }""")
    page.click('#record')
    ask(page, 'red')
    page.evaluate('open_()')
    states = """async () => {
      await new Promise((done) => setTimeout(done, 500));
      return (await stream_).getTracks().map((x) => x.readyState);
    }"""
    assert page.evaluate(states) == ['ended']
    assert not page.is_visible('#listening')


def test_silence_around_a_voice_is_cut_off(visits):
  """A click of the button is no voice either; a pause within a word stays."""
  rng = np.random.default_rng(1)
  voice = drawn.tone('red', 0.5)
  voice[3000:5000] = 0
  with visits() as page:
    for noise in (0.0, 0.002):
      heard = noise * rng.standard_normal(4 * drawn.RATE)
      heard[100:400] += 0.3 * rng.standard_normal(300)
      heard[24_000:32_000] += voice
      start, length = browsing.trimmed(page, heard.round(4))
      margin = 0.12 * drawn.RATE
      assert start == pytest.approx(24_000 - margin, abs=400)
      assert start + length == pytest.approx(32_000 + margin, abs=400)


def test_more_answers_are_asked_for(visits):
  with visits() as page:
    wanted = []

    def many(route):
      wanted.append(
        re.findall(rb'name="k"\r\n\r\n(\d+)', route.request.post_data_buffer)
      )
      found = route.fetch().json()
      found['answers'] = (3 * found['answers'])[: int(wanted[-1][0])]
      route.fulfill(json=found)

    page.route('**/search', many)
    ask(page, 'blue')
    assert len(titles(page)) == 12
    with page.expect_response('**/search'):
      page.click('#more')
    answered(page)
    assert wanted == [[b'12'], [b'24']]
    assert len(titles(page)) == 24


def test_an_indexing_shows_its_progress(visits, folder):
  values = {'done': 12, 'total': 40, 'seconds_left': 95.0, 'failures': 1}
  path = folder / 'index/progress.json'
  path.write_text(
    json.dumps({**values, 'process': os.getpid(), 'host': socket.gethostname()})
  )
  try:
    with visits() as page:
      page.wait_for_selector('#indexing')
      assert page.inner_text('#indexing-text') == (
        'Indexing: 12 of 40 files. About 1:35 left. 1 file could not be read.'
      )
      bar = page.locator('#indexing-bar')
      assert bar.evaluate('(it) => it.position') == pytest.approx(0.3)
      path.unlink()
      page.wait_for_selector('#indexing', state='hidden')
      assert page.inner_text('#said') == 'The indexing has ended.'
  finally:
    path.unlink(missing_ok=True)


def test_media_that_moved_away_are_still_named(visits, folder):
  path = folder / 'media/garden/evening.mp4'
  path.rename(folder / 'moved.mp4')
  try:
    with visits() as page:
      ask(page, 'blue')
      card = page.locator('.card', has_text='evening.mp4').first
      assert 'The file has moved away.' in card.inner_text()
      assert card.locator('.poster, .clip:visible').count() == 0
  finally:
    (folder / 'moved.mp4').rename(path)


def test_the_token_opens_the_page(visits, tmp_path):
  token = tmp_path / 'token'
  with browsing.served(tmp_path, token_file=str(token)) as address:
    page = visits.browser.new_page()
    moment = '?file=0123456789abcdef&t=3'
    page.goto(address + moment)
    for given in ('wrong', token.read_text().strip()):
      assert page.title() == 'Token · Jeton'
      assert page.locator('#token').evaluate(
        '(it) => it === document.activeElement'
      )
      assert page.is_visible('#wrong') == (given != 'wrong')
      assert 'wrong' not in page.url
      page.keyboard.type(given)
      with page.expect_navigation():
        page.keyboard.press('Enter')
    page.wait_for_selector('#facts:not(:empty)')
    assert page.url == address + moment
    page.reload()  # The browser is remembered.
    page.wait_for_selector('#facts:not(:empty)')
    page.context.clear_cookies()
    browsing.drop_tone(page, 'red')
    page.wait_for_selector('#error:not(:empty)')
    assert page.inner_text('#error') == WANTED
    page.close()


@pytest.mark.parametrize(('status', 'looks'), [(401, 1), (0, 4)])
def test_the_token_is_asked_for_once(visits, status, looks):
  """While a server that cannot be reached is looked for again."""
  page, asked = visits.browser.new_page(locale='en'), []

  def refuse(route):
    asked.append(route)
    route.fulfill(status=status, json={}) if status else route.abort()

  page.route('**/about', refuse)
  page.clock.install()
  page.goto(visits.address)
  error = page.locator('#error:not(:empty)')
  assert (error.inner_text() == WANTED) == (status == 401)
  error.evaluate("""(it) => { window.told_ = 0;
    new MutationObserver(() => { told_ += 1; }).observe(it, {childList: true});
  }""")
  for _ in range(3):
    page.clock.run_for(5001)
    page.wait_for_timeout(300)
  assert len(asked) == looks
  assert page.evaluate('told_') == 0
  page.close()
