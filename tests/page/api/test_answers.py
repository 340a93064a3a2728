"""Questions to the page, by its API."""

import csv
import io
import pathlib
import re
import shutil

import pytest
import soundfile
from PIL import Image

import avl_jax
from avl_jax.page import exports
from avl_jax.page.media import media_type
from tests.helpers import own_folder
from tests.page.api.conftest import client_of, made, update
from tests.search.conftest import replaced_networks


@pytest.fixture(scope='module')
def searcher(run, index_dir):
  """The index as Python asks it."""
  with replaced_networks(), avl_jax.load_index(index_dir, run) as searcher:
    yield searcher


def _moments(found):
  return [
    (
      '/'.join(filter(None, (x['folder'], x['name']))),
      x['start'],
      x['end'],
      x['score'],
    )
    for x in found['answers']
  ]


def _expected(answers):
  return [(x.path, x.start, x.end, x.score) for x in answers.items]


def test_a_recording_is_answered_as_python_answers(ask, searcher, question):
  found = ask(k=4)
  expected = searcher.search(question, count=4)
  assert _moments(found) == _expected(expected)
  assert len(found['answers']) == 4
  assert found['question'] == {'kind': 'sound', 'name': 'question.wav'}
  assert (found['among'], found['background']) == ('video', 220)
  top, best = found['answers'][0], expected.items[0]
  assert 0 <= top['share'] <= 1
  assert top['fits'] == (top['share'] <= 0.1)
  assert found['nothing_fits'] == (not any(x['fits'] for x in found['answers']))
  assert top['best'] == best.curve.best
  assert [t for t, _ in top['curve']] == best.curve.seconds.tolist()
  assert top['missing'] is False


def test_a_threshold_decides_what_fits(ask):
  shares = {x['share'] for x in ask()['answers']}
  middle = sum(shares) / len(shares)
  found = ask(threshold=middle)
  assert not found['nothing_fits']
  assert {x['fits'] for x in found['answers']} == {True, False}
  assert ask(threshold=min(shares) / 2)['nothing_fits']


def test_a_picture_and_a_clip_are_asked(ask, searcher, media_dir):
  for name, kind in (('picture.png', 'picture'), ('old.avi', 'picture')):
    path = media_dir / name
    found = ask(files={'file': (path.name, path.read_bytes())})
    assert _moments(found) == _expected(searcher.search(path))
    assert found['question'] == {'kind': kind, 'name': name}
  found = ask(
    files={'file': (path.name, path.read_bytes())},
    part='sound',
    answers='audio',
  )
  expected = searcher.search(path, part='sound', answers='audio')
  assert _moments(found) == _expected(expected)
  assert found['among'] == 'audio'


def test_more_like_an_answer(ask, searcher):
  """It is asked with the window's vector; the window itself is no answer."""
  top = ask()['answers'][0]
  found = ask(window=top['window'], k=3)
  assert found['question']['kind'] == 'window'
  assert found['question']['name'].startswith(top['name'])
  index = searcher.index
  rows = index.rows_with('video')
  (row,) = [
    row
    for row in rows
    if index.window(row).path.endswith(top['name'])
    and index.window(row).start == top['start']
  ]
  scores = index.vectors('video', rows) @ index.vectors('video', [row])[0]
  others = [
    float(score)
    for other, score in zip(rows, scores, strict=True)
    if index.window(other).path != index.window(row).path
  ]
  assert found['answers'][0]['score'] == pytest.approx(max(others), rel=1e-4)
  assert top['window'] not in [x['window'] for x in found['answers']]


def test_more_like_a_picture_is_not_the_picture(ask):
  (window,) = [
    x['window'] for x in ask(k=50)['answers'] if x['kind'] == 'picture'
  ]
  found = ask(window=window, k=3)['answers']
  assert len(found) == 3
  assert window not in [x['window'] for x in found]


def test_sound_is_like_sound(ask):
  sound = next(
    x for x in ask(answers='audio')['answers'] if x['name'] == '=sound.flac'
  )
  found = ask(window=sound['window'])
  assert found['among'] == 'audio'
  assert found['answers']


@pytest.mark.parametrize(
  ('fields', 'names'),
  [
    ({'folder': 'sub'}, {'new.mp4', 'lost.mkv'}),
    ({'folder': 'sub/deep'}, {'lost.mkv'}),
    ({'folder': 'su'}, set()),
    ({'language': 'fr'}, {'old.avi'}),
    ({'date_to': '2019'}, {'old.avi'}),
    ({'date_from': '2024'}, {'new.mp4'}),
    ({'date_from': '2024-02-03', 'date_to': '2024-06'}, {'new.mp4'}),
    ({'date_from': '2025-01-01'}, set()),
    ({'date_from': '2019-05-04', 'date_to': '2019-05-04'}, {'old.avi'}),
    ({'date_from': '2023-11-14', 'date_to': '2023-11'}, {'lost.mkv'}),
    ({'seconds_from': 3.5, 'seconds_to': 5}, {'new.mp4'}),
    ({'seconds_from': 100}, set()),
  ],
)
def test_filters(ask, fields, names):
  """The date of what the manifest does not name is that of the file."""
  found = ask(answers='video', **fields)['answers']
  assert {x['name'] for x in found} - {'picture.png'} == names


def test_what_filters_can_choose_from(client):
  filters = client.get('api/v1/about').json()['filters']
  assert filters['folders'] == ['sub', 'sub/deep']
  assert filters['languages'] == ['es', 'fr']
  assert filters['dates'] == ['2019-05-04', '2024']
  assert filters['seconds'] == pytest.approx([3, 17], abs=0.1)


def test_about(client, run):
  about = client.get('api/v1/about').json()
  assert about['name'] == run.name
  assert about['index']['files'] == 5
  assert about['index']['hours'] == pytest.approx(36 / 3600, abs=1e-4)
  assert about['reads_text'] is True
  assert about['answers'] == ['video', 'audio']
  assert about['limits']['question_seconds'] == 30
  assert about['indexing'] is None


def test_how_a_browser_plays_a_file(ask):
  plays = {x['name']: x['plays'] for x in ask(k=50)['answers']}
  plays |= {x['name']: x['plays'] for x in ask(answers='audio')['answers']}
  assert plays == {
    'old.avi': 'transcoded',
    'lost.mkv': 'transcoded',
    'new.mp4': 'native',
    'picture.png': 'stills',
    '=sound.flac': 'native',
  }


def test_exports(client, question, ask):
  """A name that a spreadsheet would compute is text."""
  found = ask(answers='audio')
  fields = {'answers': 'audio', 'format': 'csv'}
  files = {'file': ('question.wav', question.read_bytes())}
  response = client.post('api/v1/search', data=fields, files=files)
  rows = list(csv.DictReader(io.StringIO(response.text)))
  assert [row['name'].lstrip("'") for row in rows] == [
    x['name'] for x in found['answers']
  ]
  script = pathlib.Path(exports.__file__).parent / 'static/js/exports.js'
  (columns,) = re.findall(
    r'COLUMNS = (\[.*?\]);', script.read_text(), re.DOTALL
  )
  assert list(rows[0]) == re.findall(r"'(\w+)'", columns)
  first = found['answers'][0]
  assert rows[0]['rank'] == '1'
  assert rows[0]['missing'] == 'false'
  assert rows[0]['share_here'] == str(first['share_here'])
  assert rows[0]['link'] == (
    f'{client.base_url}?file={first["file"]}&t={first["best"]:.1f}'
  )
  assert "'=sound.flac" in {row['name'] for row in rows}
  assert [float(row['score']) for row in rows] == [
    x['score'] for x in found['answers']
  ]
  assert 'answers.csv' in response.headers['content-disposition']
  fields = {'answers': 'audio', 'format': 'm3u'}
  response = client.post('api/v1/search', data=fields, files=files)
  lines = response.text.splitlines()
  assert lines[0] == '#EXTM3U'
  assert [x for x in lines if not x.startswith('#')] == [
    f'{client.base_url}api/v1/files/{x["file"]}' for x in found['answers']
  ]


def _png(width, height):
  file = io.BytesIO()
  Image.new('1', (width, height)).save(file, 'PNG')
  return file.getvalue()


def _long_wav():
  file = io.BytesIO()
  soundfile.write(file, own_folder.tone(1, 40), 16_000, format='WAV')
  return file.getvalue()


@pytest.mark.parametrize(
  ('name', 'content', 'said'),
  [
    ('notes.txt', b'Only a text.' * 99, 'can read the file'),
    ('text.png', b'Only a text.' * 99, 'cannot be read as an image'),
    ('bomb.png', lambda: _png(100_000, 1000), 'pixels'),
    ('empty.wav', b'', '0 bytes'),
    ('long.wav', _long_wav, 'at most 30 s'),
    ('list.m3u8', b'#EXTM3U\n/etc/passwd\n', 'can read the file'),
    ('../../etc/x.mp4', b'no video' * 99, 'x.mp4'),
  ],
)
def test_what_is_no_question(ask, name, content, said):
  """The message has the visitor's name of the file, and no path of ours."""
  content = content() if callable(content) else content
  error = ask(files={'file': (name, content)}, status=422)['error']
  assert said in error
  assert 'question.' not in error
  assert '/tmp' not in error
  ask()


@pytest.mark.parametrize(
  ('fields', 'said'),
  [
    ({'k': 'many'}, "'k' is 'many'"),
    ({'k': 101}, 'from 1 to 100'),
    ({'k': 1.9}, 'whole number'),
    ({'window': 'a@b'}, 'FILE@START-END'),
    ({'answers': 'all'}, 'video, audio, sum'),
    ({'date_from': 'yesterday'}, '2026-11-26'),
    ({'date_to': '2022-13-45'}, '2026-11-26'),
    ({'seconds_to': 'nan'}, 'of at least 0'),
    ({'text': 'x', 'window': f'{"0" * 16}@0-1'}, 'several'),
  ],
)
def test_fields_that_are_not_possible(ask, fields, said):
  assert said in ask(status=400, **fields)['error']


def test_what_cannot_be_asked(ask, client):
  gone = f'{"0" * 16}@0.0-1.0'
  assert 'no file' in ask(window=gone, status=404)['error']
  window = ask()['answers'][0]['window'].partition('@')[0] + '@1.0-2.5'
  assert 'no window' in ask(window=window, status=404)['error']
  assert client.post('api/v1/search').status_code == 400
  assert client.get('api/v1/search').status_code == 405


def test_messages_have_no_paths_of_the_server(ask, client, media_dir):
  files = {x['name']: x['file'] for x in ask(k=50)['answers']}
  address = f'api/v1/files/{files["old.avi"]}/clip?start=1000&end=1010'
  error = client.get(address).json()['error']
  assert error.startswith('old.avi')
  assert 'nothing from 1000 s' in error
  other = ask(answers='sum', status=400)['error']
  assert 'index' in other
  for said in (error, other):
    assert not re.search(r'(^|\s)/|/home|/tmp', said), said
  assert str(media_dir.parent) not in error + other


def test_media_that_moved_away_still_answer(run, copied, question):
  media_dir, index = copied()
  with made(run, index, media_dir) as app, client_of(app) as client:
    (media_dir / 'old.avi').unlink()
    files = {'file': ('question.wav', question.read_bytes())}
    found = client.post('api/v1/search', files=files).json()['answers']
    (old,) = [x for x in found if x['name'] == 'old.avi']
    assert old['missing'] is True
    file = f'api/v1/files/{old["file"]}'
    for path in (file, f'{file}/frame?t=1', f'{file}/clip?start=0&end=1'):
      response = client.get(path)
      assert response.status_code == 404
      assert 'moved away' in response.json()['error']
    assert client.get(f'{file}/about').json()['missing'] is True


def test_an_index_that_is_updated_answers(run, copied, question):
  media_dir, index = copied()
  files = {'file': ('question.wav', question.read_bytes())}
  with made(run, index, media_dir) as app, client_of(app) as client:

    def names():
      data = {'answers': 'audio', 'k': 50}
      found = client.post('api/v1/search', files=files, data=data).json()
      return {x['name'] for x in found['answers']}

    before = names()
    shutil.copy(question, media_dir / 'added.wav')
    shutil.move(media_dir / 'old.avi', media_dir / 'renamed.avi')
    (media_dir / '=sound.flac').unlink()
    own_folder.age(media_dir)
    update(run, media_dir, index)
    assert names() == (
      before - {'old.avi', '=sound.flac'} | {'renamed.avi', 'added.wav'}
    )


def test_words_are_asked(ask, searcher):
  found = ask(text='a red house')
  assert found['question'] == {'kind': 'text', 'name': 'a red house'}
  assert _moments(found) == _expected(searcher.search(words='a red house'))


def test_types_of_media():
  assert media_type('a.MKV') == 'video/x-matroska'
  assert media_type('a.mp4') == 'video/mp4'
  assert media_type('a.html') == 'application/octet-stream'
  assert media_type('a.svg').startswith('image/')
