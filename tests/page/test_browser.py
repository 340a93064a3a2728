"""The page in a real browser: asked, answered, played, exported."""

import csv
import io
import json
import re
import urllib.parse

import av
import numpy as np
import pytest
import soundfile

from avl_jax.features import pauses
from tests.helpers.page import browsing, drawn, stand_in
from tests.helpers.page.browsing import (
  answered,
  ask,
  download,
  drop,
  played,
  titles,
)


def test_a_recording_is_answered_and_played_at_the_right_second(visits):
  with visits() as page:
    page.click('#record')
    page.wait_for_selector('#clock:text("0:02")')
    page.click('#record')
    answered(page)
    assert titles(page)[0] == 'morning.mp4'
    assert 'Your recording, 0:0' in page.inner_text('#asked')
    # On a busy machine the microphone has gaps, so by pieces of 0.4 s.
    heard = stand_in.heard[-1]
    pieces = np.array_split(heard, len(heard) // 6400)
    voice = drawn.voice('red', 3)
    assert (
      np.median([browsing.likeness(piece, voice) for piece in pieces]) > 0.9
    )
    length = page.locator('#asked-media audio').evaluate('(it) => it.duration')
    assert length == pytest.approx(len(stand_in.heard[-1]) / 16_000, abs=0.01)
    first = page.locator('.card').first
    assert 'Fits best at 0:03' in first.inner_text()
    first.locator('.poster').click()
    time, colour, _ = played(page)[0]
    assert (int(time), colour) == (3, 'red')


def test_the_page_cuts_as_the_command_does(visits):
  """Voices of any length and loudness in noise, after a click; and none."""
  recordings = drawn.noisy_recordings()
  cut = 0
  with visits() as page:
    for heard in recordings:
      kept = pauses.without_pauses(heard)
      start = kept.ctypes.data - heard.ctypes.data
      assert browsing.trimmed(page, heard) == [start // 4, len(kept)]
      cut += len(kept) < len(heard)
  assert 4 <= cut <= len(recordings) - 3


def test_the_frame_and_the_player_follow_the_curve(visits):
  with visits() as page:
    ask(page, 'red')
    frame = page.locator('.card img').first
    middle = frame.evaluate("""async (image) => {
      await image.decode();
      const canvas = new OffscreenCanvas(3, 3);
      const context = canvas.getContext('2d');
      context.drawImage(image, 0, 0, 3, 3);
      return [...context.getImageData(1, 1, 1, 1).data];
    }""")
    assert drawn.nearest(middle) == 'red'
    slider = page.locator('.card [role=slider]').first
    assert slider.locator('rect').count() == 4
    box = slider.bounding_box()
    slider.click(position={'x': box['width'] * 0.7, 'y': 5})  # 0:02 of 0-4
    time, colour, _ = played(page)[0]
    assert (int(time), colour) == (2, 'yellow')
    page.evaluate('frames_ = []')
    slider.press('Home')
    time, colour, _ = played(page, 1)[0]
    assert (int(time), colour) == (0, 'green')
    assert 'best, which is at 0:03' in slider.get_attribute('aria-valuetext')


def test_files_are_dropped(visits, tmp_path):
  path = tmp_path / 'question.flac'
  soundfile.write(path, drawn.tone('green', 1), drawn.RATE)
  image = io.BytesIO()
  drawn.picture('yellow', 1).save(image, 'PNG')
  drawn.write_video(tmp_path / 'clip.mp4', ['orange', 'orange'])
  with visits(complaints=1) as page:
    drop(page, 'question.flac', 'audio/flac', path.read_bytes())
    answered(page)
    assert titles(page)[0] == 'morning.mp4'
    drop(page, 'picture.png', 'image/png', image.getvalue())
    page.wait_for_selector('#asked-media img')
    answered(page)
    assert titles(page)[0] == 'flag.png'
    content = (tmp_path / 'clip.mp4').read_bytes()
    drop(page, 'clip.mp4', 'video/mp4', content)
    page.wait_for_selector('#part')
    answered(page)
    assert titles(page)[0] == 'evening.mp4'
    page.select_option('#part-choice', 'sound')
    answered(page)
    assert titles(page)[0] == 'evening.mp4'
    drop(page, 'notes.txt', 'text/plain', b'These are no media.')
    page.wait_for_selector('#error:not(:empty)')
    assert 'notes.txt' in page.inner_text('#error')
    assert not titles(page)
    drop(page, 'long.wav', 'audio/wav', bytes(5 * 2**20))
    assert 'At most 4 MB are allowed' in page.inner_text('#error')


def test_answers_are_filtered(visits):
  with visits() as page:
    ask(page, 'blue')
    assert set(titles(page)) > {'boats.webm', 'evening.mp4', 'old film.avi'}
    page.click('#filters summary')
    found = {}

    def choose(name, value):
      field = page.locator(f'[name={name}]')
      is_list = field.evaluate('(field) => field.tagName') == 'SELECT'
      with page.expect_response('**/search'):
        (field.select_option if is_list else field.fill)(value)
        field.dispatch_event('change')
      answered(page)
      found[name] = set(titles(page))
      with page.expect_response('**/search'):
        page.click('#filters [type=reset]')
      answered(page)

    choose('folder', 'sea')
    choose('language', 'en')
    choose('date_from', '2025-01-01')
    choose('date_to', '1999-12-31')
    choose('seconds_from', '0:09')
    choose('answers', 'audio')
    assert found['folder'] == {'boats.webm', 'flag.png', 'bell.mp4'} - {
      'bell.mp4'  # It shows nothing.
    }
    assert found['language'] == {'evening.mp4'}
    assert 'boats.webm' in found['date_from']
    assert 'evening.mp4' not in found['date_from']
    assert found['date_to'] == {'old film.avi'}
    assert found['seconds_from'] == {'boats.webm'}
    assert 'bell.mp4' in found['answers']
    page.fill('[name=seconds_to]', '1')
    page.press('[name=seconds_to]', 'Enter')
    page.press('[name=seconds_to]', 'Tab')
    page.fill('[name=seconds_from]', '0:01')
    page.press('[name=seconds_from]', 'Tab')
    page.wait_for_selector('#empty:text("Nothing passes these filters")')
    assert page.inner_text('#filters-count') == '2'


def test_filters_that_cannot_be(visits):
  """They do not spoil a question: it waits until they are mended."""
  with visits() as page:
    asked = browsing.searches(page)
    page.click('#filters summary')
    page.fill('[name=seconds_from]', 'abc')
    page.click('#filters summary')
    browsing.drop_tone(page, 'blue')
    assert page.locator('[name=seconds_from]:focus:invalid').is_visible()
    said = 'Write the length as minutes and seconds, such as 1:30.'
    assert page.inner_text('#filters-wrong') == said
    # The keyboard is not held there.
    page.keyboard.press('Tab')
    page.wait_for_selector('[name=seconds_to]:focus')
    page.keyboard.press('Tab')
    assert page.locator('[type=reset]:focus').is_visible()
    assert page.inner_text('#filters-wrong') == said
    assert not asked
    page.keyboard.press('Shift+Tab')
    page.keyboard.press('Shift+Tab')
    page.keyboard.type('0:09')
    page.keyboard.press('Tab')
    assert not page.is_visible('#filters-wrong')
    answered(page)
    assert {*titles(page)} == {'boats.webm'}
    # An index may have no vectors of what is seen.
    found = page.evaluate("""async () => {
      const filters = await import('./static/js/filters.js');
      const about = await (await fetch('api/v1/about')).json();
      const fields = new FormData();
      const offered = (answers) => {
        filters.use({...about, answers});
        filters.write(fields);
        const options = document.querySelectorAll('[name=answers] option');
        return [fields.get('answers'), ...[...options].map((x) => x.text)];
      };
      const without = offered(['audio', 'sum']);
      document.querySelector('[name=answers]').replaceChildren();
      return [without, offered(['audio', 'sum', 'video'])];
    }""")
    assert found == [
      ['audio', 'heard', 'seen and heard'],
      ['video', 'seen', 'heard', 'seen and heard'],
    ]


def test_a_new_question_forgets_the_last_one(visits):
  with visits(complaints=1) as page:
    ask(page, 'blue')
    drop(page, 'notes.txt', 'text/plain', b'These are no media.')
    page.wait_for_selector('#error:not(:empty)')
    asked = browsing.searches(page)
    page.click('#again')
    page.wait_for_selector('#empty:text("will appear here")')
    assert not page.is_visible('#error')
    page.click('#filters summary')
    page.select_option('[name=folder]', 'sea')
    page.wait_for_timeout(200)
    assert asked == []


def test_more_like_an_answer(visits):
  with visits() as page:
    ask(page, 'pink')
    assert titles(page)[0] == 'old film.avi'
    other = page.locator('.card', has_text='evening.mp4').first
    span = other.locator('.span').inner_text()
    other.locator('.like').click()
    page.wait_for_selector('#asked:has-text("More like evening.mp4")')
    answered(page)
    assert len(titles(page)) > 4
    spans = page.locator('.card .title').all_inner_texts()
    assert f'evening.mp4 {span}' not in spans
    assert spans[0].startswith('evening.mp4 ')
    assert 'is not known' in page.inner_text('#unsure')
    assert not page.is_visible('#strictness')


def test_answers_are_exported(visits):
  with visits() as page:
    ask(page, 'blue')
    shown = titles(page)
    name, table = download(page, lambda: page.click('[data-export=csv]'))
    assert name == 'answers.csv'
    rows = list(csv.DictReader(io.StringIO(table.decode('utf-8-sig'))))
    assert [row['name'] for row in rows] == shown
    assert rows[0]['fits'] == 'true'
    assert float(rows[0]['score']) > float(rows[-1]['score'])
    api = browsing.table_of_the_api(page, 'blue')
    assert api[0].keys() == rows[0].keys()
    for own, other in zip(rows, api, strict=False):
      for column, text in own.items():
        assert browsing.value(other[column]) == browsing.value(text), column
    name, text = download(page, lambda: page.click('[data-export=json]'))
    found = json.loads(text)
    assert [answer['name'] for answer in found['answers']] == shown
    assert found['answers'][0]['link'] == rows[0]['link']
    name, text = download(page, lambda: page.click('[data-export=m3u]'))
    lines = text.decode().splitlines()
    assert (name, lines[0]) == ('answers.m3u', '#EXTM3U')
    assert len(lines) == 1 + 2 * len(shown)
    assert page.request.get(lines[2]).headers['content-type'] == 'video/mp4'
    name, clip = download(page, page.locator('.clip').first.click)
    assert re.fullmatch(r'evening.\d.\d\.mp4', name)
    with av.open(io.BytesIO(clip)) as media:
      frames = [
        frame.to_ndarray(format='rgb24') for frame in media.decode(video=0)
      ]
      assert len(media.streams.audio) == 1
    start = int(float(rows[0]['start']))
    expected = drawn.colours('garden/evening.mp4')[start : start + 4]
    middles = [drawn.nearest(x[90, 160]) for x in frames[5::10]]
    assert middles == expected


def test_a_link_opens_a_moment(visits):
  permissions = ['clipboard-read', 'clipboard-write']
  with visits(permissions=permissions) as page:
    ask(page, 'red')
    page.locator('.card .link').first.click()
    page.wait_for_selector('#said:text("The link to this moment is copied.")')
    link = page.evaluate('navigator.clipboard.readText()')
  query = urllib.parse.parse_qs(urllib.parse.urlsplit(link).query)
  assert query['t'] == ['3.0']
  with visits(f'?{urllib.parse.urlsplit(link).query}') as page:
    page.wait_for_selector('#moment video')
    time, colour = browsing.still(page)
    assert (int(time), colour) == (3, 'red')
    assert page.inner_text('#moment-title') == 'morning.mp4 at 0:03'
    assert page.evaluate("document.querySelector('video').paused")
    page.click('#moment-close')
    assert page.url == visits.address
  with visits('?file=0123456789abcdef&t=3', complaints=1) as page:
    page.wait_for_selector('#error:not(:empty)')
    assert '0123456789abcdef' in page.inner_text('#error')


def test_what_the_browser_cannot_play_is_converted(visits):
  with visits() as page:
    ask(page, 'pink')
    card = page.locator('.card').first
    assert 'old film.avi 0:02–0:06' in card.inner_text()
    card.locator('.poster').click()
    frames = played(page)
    query = urllib.parse.urlsplit(frames[0][2]).query
    start = float(urllib.parse.parse_qs(query)['start'][0])
    assert (int(start + frames[0][0]), frames[0][1]) == (3, 'pink')
    film = drawn.colours('garden/old film.avi')
    for time, colour, _ in frames:
      assert colour == film[int(start + time)]
    # What follows the clip is the next one.
    page.locator('video').evaluate(
      '(video) => { video.currentTime = 3.9; video.play(); }'
    )
    page.wait_for_selector('.card .on:text("Go on from 0:06")')
    page.evaluate('frames_ = []')
    page.click('.card .on')
    time, colour, _ = played(page, 1)[0]
    assert (int(time), colour) == (0, film[6])


def test_a_sound_plays_where_it_fits(visits):
  with visits() as page:
    page.click('#filters summary')
    page.select_option('[name=answers]', 'audio')
    ask(page, 'orange')
    first = page.locator('.card').first
    assert 'bell.mp4 0:02–0:05' in first.inner_text()
    first.locator('.poster').click()
    (audio := first.locator('audio')).wait_for()
    for _ in range(100):
      if audio.evaluate('(it) => !it.paused && it.currentTime > 2'):
        break
      page.wait_for_timeout(50)
    assert 2 < audio.evaluate('(it) => it.currentTime') <= 5


def test_the_page_works_below_a_prefix(visits):
  with visits(f'{browsing.PREFIX}/') as page:
    asked = []
    page.on('request', lambda request: asked.append(request.url))
    ask(page, 'red')
    page.locator('.card .poster').first.click()
    assert played(page, 1)[0][1] == 'red'
    _, playlist = download(page, lambda: page.click('[data-export=m3u]'))
    addresses = re.findall('http.*', playlist.decode())
    assert len(addresses) == len(titles(page))
    prefix = f'{visits.address}{browsing.PREFIX}/'
    assert len(asked) > 8
    own = [x for x in asked + addresses if not x.startswith('blob:')]
    assert all(address.startswith(prefix) for address in own)


def test_threshold_says_that_nothing_fits(visits):
  with visits() as page:
    ask(page, 'red')
    assert not page.is_visible('#nothing')
    assert 'fit' in page.inner_text('#status')
    # Readers of screens know the region before it has a text.
    region = page.locator('[role=status]:has(> #nothing)')
    shown = 'getComputedStyle(it).display + it.innerText + it.hidden'
    assert region.evaluate(f'(it) => {shown}') == 'blockfalse'
    assert region.evaluate('(it) => it.textContent.trim()') == ''
    page.focus('#threshold')
    page.keyboard.press('Home')
    assert region.inner_text().startswith('Nothing fits')
    assert page.inner_text('#nothing h3') == 'Nothing fits'
    assert 'Probably chance.' in page.locator('.card').first.inner_text()
    assert page.get_attribute('#threshold', 'aria-valuetext') == '0.1%'
    page.keyboard.press('End')
    assert not page.is_visible('#nothing')
    assert 'Probably chance.' not in page.inner_text('#cards')


def test_phone_dark_and_keys_alone(visits):
  phone = {'viewport': {'width': 390, 'height': 844}}
  with visits(**phone, color_scheme='dark') as page:
    asked = browsing.searches(page)
    page.keyboard.press('/')
    page.keyboard.type('blue')
    page.keyboard.press('Enter')
    answered(page)
    wide = 'document.documentElement.scrollWidth - innerWidth'
    assert page.evaluate(wide) == 0
    ground = page.evaluate('getComputedStyle(document.body).backgroundColor')
    assert max(int(x) for x in ground[4:-1].split(',')) < 64
    for key in ('Tab', 'j', 'Tab', 'Enter'):
      page.keyboard.press(key)
    assert played(page, 1)[0][1] == 'blue'
    page.focus('#filters summary')
    page.keyboard.press('Enter')
    page.focus('[name=date_from]')
    asked.clear()
    page.keyboard.type('05022024')
    assert page.input_value('[name=date_from]') == '2024-05-02'
    answered(page)
    assert 'old film.avi' not in titles(page)
    assert len(asked) == 1
    assert page.evaluate(wide) == 0
