"""Messages for clients in place of those for the operator of the server."""

import json
import pathlib

import pytest

from avl_jax.errors import UserError
from avl_jax.features import MissingError
from avl_jax.page import errors
from avl_jax.page.messages import without_commands, without_folders
from avl_jax.search.store.journal import DamageError
from tests.page.api.conftest import client_of, made

COMMAND = (
  'python main.py --mode=index --workdir=runs/stamps '
  '--config.search.media_dir=/srv/my films --config.search.index=runs/index'
)


@pytest.mark.parametrize(
  ('text', 'shown'),
  [
    ('/media/a.avi: It is damaged.', 'a.avi: It is damaged.'),
    ("In '/media/sub/a.avi'.", "In 'sub/a.avi'."),
    ('No /media.', 'No media.'),
    ("There is '/media/' or (/media).", "There is 'media' or (media)."),
    ('/srv/my films/b 2.mp4 is gone.', 'b 2.mp4 is gone.'),
    ('runs/index/head is missing.', 'head is missing.'),
    ('runs/index has none: see runs/index.', 'index has none: see index.'),
    # Other folders are no part of these, nor these of other ones.
    ('/media2/x and /media-2/y', 'x and y'),
    ('/media.old/x', 'x'),
    ('old/runs/index/x', 'old/runs/index/x'),
    ('runs/index2/x', 'runs/index2/x'),
    ('a/media/x', 'a/media/x'),
    ('In /etc/passwd: /home/me/.cache', 'In passwd: .cache'),
    ('index=/home/me/x, "/a/b"', 'index=x, "b"'),
    ('https://example.org/a/b and/or 1/2 / 3', None),
  ],
)
def test_folders_of_the_server(text, shown):
  folders = [
    pathlib.Path('/media'),
    None,
    pathlib.Path('/srv/my films'),
    pathlib.Path('runs/index'),
  ]
  assert without_folders(text, folders) == (text if shown is None else shown)
  absolute = pathlib.Path('runs/index').resolve()
  assert without_folders(f'{absolute}/x, {absolute}', folders) == 'x, index'


@pytest.mark.parametrize(
  ('text', 'kept'),
  [
    (f'It is another model. To make it anew:\n  {COMMAND}', 1),
    ('It has moved. Bring it up to date (--mode=index).', 1),
    ('It is not known. Expected one. Use --config.search.media_dir=DIR.', 2),
    (f'Nothing is there: {COMMAND}. Then wait.', 0),
    (f'It is old. Make it anew, e.g. by {COMMAND}', 1),
    ('All is -- well. No such--mode is set, a.b.', None),
  ],
)
def test_commands_are_for_whoever_runs_the_server(text, kept):
  shown = without_commands(text)
  if kept is None:
    assert shown == text
    return
  sentences = text.split('. ')[:kept]
  expected = ''.join(f'{sentence}. ' for sentence in sentences)
  assert shown.startswith(f'{expected}Tell whoever runs the server')
  assert '--' not in shown


def test_the_log_has_what_visitors_do_not_see(capsys):
  """Once, however many ask."""
  fail = errors.handlers(lambda: [pathlib.Path('/media')])[UserError]
  text = f'/media/a.avi has moved. Index it anew: {COMMAND}'
  for _ in range(3):
    answer = fail(None, MissingError(text))
    shown = json.loads(answer.body)['error']
    assert answer.status_code == 404
    assert shown.startswith('a.avi has moved. Tell whoever runs')
  assert capsys.readouterr().out.count(COMMAND) == 1
  fail(None, MissingError('/media/a.avi has moved.'))
  assert capsys.readouterr().out == ''


def test_a_damaged_index_is_told(run, copied, question, monkeypatch):
  """Also to who asks with a file."""
  media_dir, index = copied()
  files = {'file': ('q.wav', question.read_bytes())}

  def fail(_):
    raise DamageError(index / 'head.json', 'is damaged')

  with made(run, index, media_dir) as app, client_of(app) as client:
    monkeypatch.setattr('avl_jax.search.query.searcher.Searcher.refresh', fail)
    response = client.post('api/v1/search', files=files)
    assert response.status_code == 422
    said = response.json()['error']
    assert said.startswith('The index is damaged: head.json is damaged. ')
    assert str(index.parent) not in said
