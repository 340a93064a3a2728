"""Counts, report and list of skipped items."""

import json

import pytest

from avl_jax.errors import UserError
from avl_jax.extraction.skipped import Skipped


def test_report_and_list(tmp_path, capsys):
  skipped = Skipped()
  assert not skipped['never used']
  skipped.add('no audio', 'b.mp4')
  skipped.add('no audio', 'a.mp4')
  assert str(skipped) == "{'no audio': 2}, for example a.mp4"
  skipped.report(
    'clips/x val',
    8_000,
    '9,000 clips',
    expected=9_500,
    shortfall='val: clips fewer than expected',
  )
  assert capsys.readouterr().out == (
    'clips/x val: 8,000 of 9,000 clips, 1,500 fewer than in the thesis\n'
  )
  skipped.write(tmp_path)
  assert json.loads((tmp_path / 'skipped.json').read_text()) == {
    'no audio': ['a.mp4', 'b.mp4'],
    'val: clips fewer than expected': ['8,000 of 9,500'],
  }


def test_as_many_as_expected(capsys):
  skipped = Skipped()
  skipped.report('x', 3, '4 clips', expected=3, shortfall='too few')
  assert capsys.readouterr().out == 'x: 3 of 4 clips\n'
  assert not skipped


def test_no_usable_item():
  skipped = Skipped()
  skipped.add('unreadable', 'a.mp4: The file is damaged.')
  with pytest.raises(UserError) as caught:
    skipped.report('x', 0, '1 clips', expected=5, remedy='Correct them.')
  assert str(caught.value) == (
    "x: None of the 1 clips can be used. Skipped so far: {'unreadable': 1}, "
    'for example a.mp4: The file is damaged. Correct them.'
  )


def test_names_that_are_not_utf_8_are_written(tmp_path):
  skipped = Skipped()
  skipped.add('unreadable', 'caf\udce9/film.mp4')
  skipped.write(tmp_path)
  assert json.loads((tmp_path / 'skipped.json').read_text('utf-8'))
