"""Counts, report and list of skipped items."""

import json

import pytest

from avl_jax.errors import UserError
from avl_jax.extraction.skipped import MANY, Skipped
from avl_jax.features import MediaError, MissingError, Status, UnexpectedError

WORDS = {
  *('ok', 'no picture', 'no sound', 'silent', 'too short', 'unreadable'),
  *('refused', 'timed out', 'duplicate', 'unsafe name', 'missing'),
}


def _written(skipped, folder):
  skipped.write(folder)
  return json.loads((folder / 'skipped.json').read_text('utf-8'))


def test_report_and_list(tmp_path, capsys):
  skipped = Skipped()
  assert str(skipped) == '{}'
  skipped.add(Status.NO_SOUND, 'b.mp4')
  skipped.add_error('a.mp4', MissingError('It is not there.'))
  skipped.add(Status.NO_SOUND, 'a.mp4')
  skipped.add(Status.OK, 'c.mp4')
  skipped.remark('no captions', 'c.mp4')
  assert str(skipped) == (
    "{'no sound': 2, 'missing': 1}, for example a.mp4: It is not there."
  )
  skipped.report(
    'clips/x val',
    8_000,
    '9,000 clips',
    expected=9_500,
    shortfall='val: clips fewer than expected',
  )
  assert capsys.readouterr().out.endswith(
    ' clips/x val: 8,000 of 9,000 clips, 1,500 fewer than in the thesis\n'
  )
  assert _written(skipped, tmp_path) == {
    'no sound': ['a.mp4', 'b.mp4'],
    'missing': ['a.mp4: It is not there.'],
    'remarks': {
      'no captions': ['c.mp4'],
      'val: clips fewer than expected': ['8,000 of 9,500'],
    },
  }


def test_the_words_are_one_list(tmp_path):
  assert {*Status} == WORDS
  skipped = Skipped()
  for word in Status:
    skipped.add(word, f'{word}.mp4')
  for word in ('no audio', 'empty', 'Missing', '', 'remarks', 'no file'):
    with pytest.raises(ValueError, match='not a valid Status'):
      skipped.add(word, 'a.mp4')
  assert _written(skipped, tmp_path) == {
    **{word: [f'{word}.mp4'] for word in WORDS - {'ok'}},
    'remarks': {},
  }


def test_every_error_has_a_word():
  kinds, new = {MediaError}, {MediaError}
  while new:
    new = {kind for parent in new for kind in parent.__subclasses__()} - kinds
    kinds |= new
  words = {kind.reason for kind in kinds}
  assert all(isinstance(word, Status) for word in words)
  # Duplicates are no errors of a file.
  assert words == {*Status} - {Status.OK, Status.DUPLICATE}


def test_many_surprises_in_a_row_are_worth_a_line(capsys):
  skipped = Skipped()
  for _ in range(2):  # Any other item ends the row.
    for _ in range(MANY - 1):
      skipped.add_error('a.mp4', UnexpectedError('Strange.'))
    skipped.add(Status.OK, 'good.mp4')
    for _ in range(MANY):
      skipped.add_error('a.mp4', MediaError('Damaged.'))
  assert not capsys.readouterr().err
  for i in range(3 * MANY):
    skipped.add_error(f'{i}.mp4', UnexpectedError('Strange.'))
  (line,) = capsys.readouterr().err.splitlines()
  assert f'{MANY} files in a row cannot be read' in line
  assert f'{MANY - 1}.mp4: Strange. If these files' in line


def test_as_many_as_expected(tmp_path, capsys):
  skipped = Skipped()
  skipped.report('x', 3, '4 clips', expected=3, shortfall='too few')
  assert capsys.readouterr().out.endswith(' x: 3 of 4 clips\n')
  assert _written(skipped, tmp_path) == {'remarks': {}}


def test_no_usable_item():
  skipped = Skipped()
  skipped.add(Status.UNREADABLE, 'a.mp4: The file is damaged.')
  with pytest.raises(UserError) as caught:
    skipped.report('x', 0, '1 clips', expected=5, remedy='Correct them.')
  assert str(caught.value) == (
    "x: None of the 1 clips can be used. Skipped so far: {'unreadable': 1}, "
    'for example a.mp4: The file is damaged. Correct them.'
  )


def test_names_that_are_not_utf_8_are_written(tmp_path):
  skipped = Skipped()
  skipped.add(Status.UNREADABLE, 'caf\udce9/film.mp4')
  assert _written(skipped, tmp_path)['unreadable'] == ['caf\udce9/film.mp4']
