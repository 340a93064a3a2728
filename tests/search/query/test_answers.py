"""Confidence of an answer, its best second, and how answers are shown."""

import json
import pathlib

import numpy as np
import pytest

from avl_jax.search.query import (
  answers,
  best_seconds,
  confidence,
  non_overlapping,
)
from avl_jax.search.query.answers import Answer, Answers
from avl_jax.search.query.backgrounds import Backgrounds
from avl_jax.search.store.index import Index, Window
from tests.helpers.search import made_up

FILES = {'a.mp4': 3, 'b.mp4': 120, 'c.mp4': 6, 'd.mp4': 95}  # windows


@pytest.fixture(scope='module')
def index(tmp_path_factory):
  folder = tmp_path_factory.mktemp('made') / 'index'
  with Index.create(folder, made_up.description()) as index:
    for seed, (path, n) in enumerate(FILES.items()):
      made_up.add(index, path, n, seed)
  return Index.open(folder)


def _all(index, name):
  rows = index.rows_with(name)
  return rows, index.vectors(name, rows)


def test_shares_count_the_questions_that_score_as_high(index):
  background = confidence.of_index(index, 'audio')
  assert len(background.vectors) == sum(FILES.values())
  rows, vectors = _all(index, 'video')
  chosen = [0, 5, 125]
  paths = [index.window(int(rows[i])).path for i in chosen]
  scores = np.float32([1.0, 4.0, -2.0])
  found = background.shares(scores, vectors[chosen], paths)
  for i, path, score, share in zip(chosen, paths, scores, found, strict=True):
    others = [
      float(vectors[i] @ q) >= score
      for q, own in zip(background.vectors, background.paths, strict=True)
      if own != path
    ]
    if len(others) < 200:
      assert share is None
    else:
      assert share == np.mean(others)
  assert found[1] is None  # 120 of the 224 are of the same file
  assert 0 < found[0] < found[2] < 1


def test_what_questions_score_by_chance(index):
  rows, vectors = _all(index, 'video')
  windows = [index.window(int(row)) for row in rows]
  own = confidence.of_index(index, 'audio')
  for background in (own, confidence.of_recordings(own.vectors)):
    expected = []
    for question, path in zip(
      background.vectors, background.paths, strict=True
    ):
      others = [
        (score, window)
        for score, window in zip(vectors @ question, windows, strict=True)
        if window.path != path
      ]
      _, best = max(others, key=lambda pair: pair[0])
      expected.append(
        max(
          score
          for score, window in others
          if window.path != best.path or abs(window.start - best.start) >= 10
        )
      )
    found = background.by_chance(index, 'video')
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_they_score_is_kept_until_the_index_changes(tmp_path, monkeypatch):
  calls = []

  def by_chance(self, index, name):
    calls.append(name)
    return np.arange(len(self.vectors), dtype=np.float32)

  monkeypatch.setattr(confidence.Background, 'by_chance', by_chance)
  with Index.create(tmp_path / 'index', made_up.description()) as writer:
    made_up.add(writer, 'b.mp4', 210, 1)
    vectors = confidence.of_index(writer, 'audio').vectors
    reader = Index.open(tmp_path / 'index')

    def ask():
      found = Backgrounds(reader, lambda: 'm1', lambda: vectors)
      return found.chances('audio', 'video', np.float32([105]))

    assert ask() == ask() == [0.5]
    assert calls == ['video']
    made_up.add(writer, 'c.mp4', 2, 2)
    assert ask() == [0.5]  # It still sees the index of before.
    assert reader.refresh()
    assert ask() == [0.5]
    assert calls == ['video'] * 2


def test_many_background_questions_are_thinned_evenly():
  vectors = np.arange(1200, dtype=np.float32)[:, None]
  chosen = confidence.of_recordings(vectors).vectors[:, 0]
  assert len(chosen) == confidence.MOST
  assert set(np.diff(chosen)) == {2, 3}


@pytest.mark.parametrize(
  ('branch', 'model', 'recordings', 'source'),
  [
    ('audio', 'm1', 200, 'validation recordings'),
    ('audio', 'm1', 199, 'own sound, against other files'),
    ('audio', 'm1', None, 'own sound'),
    ('audio', 'another', 200, 'validation recordings'),
    ('audio', 'another', 199, ''),
    ('video', 'another', 200, 'own pictures'),
    ('text', 'm1', 200, ''),
  ],
)
def test_where_background_questions_come_from(
  index, branch, model, recordings, source
):
  vectors = recordings and np.ones((recordings, made_up.DIM), np.float32)
  found = Backgrounds(index, lambda: model, lambda: vectors)
  background = found.of(branch)
  assert (source in background.source) if source else background is None
  scores = np.float32([-1000, 1000])
  expected = [1.0, 0.0] if source else [None, None]
  assert found.chances(branch, 'video', scores) == expected


def test_windows_that_overlap_a_better_one_are_left_out(index):
  question = made_up.vectors(1, 9)['video'][0]
  rows, vectors = _all(index, 'video')
  expected = []
  for row in rows[np.argsort(-(vectors @ question), kind='stable')]:
    window = index.window(int(row))
    if all(
      window.path != w.path or abs(window.start - w.start) >= 10
      for w in expected
    ):
      expected.append(window)
  for count in (1, 7, 1000):
    found = non_overlapping.distinct(index, 'video', question, count)
    assert [window for _, window, _ in found] == expected[:count]
    for row, window, score in found:
      assert index.window(row) == window
      (vector,) = index.vectors('video', [row])
      np.testing.assert_allclose(score, vector @ question, rtol=1e-5)


def _embed(arrays, spans):
  """A vector that says what is in a span; there is none of black."""
  rows = [
    arrays['visual_2d'][int(start) : int(end) + 1].max(0)
    for start, end in spans
  ]
  return {'video': np.array(rows)}, {'video': np.any(rows, 1)}


def test_the_best_second_is_the_one_that_is_asked_for():
  seen = np.eye(30, dtype=np.float32) * 0.5
  seen[17, 3] = 0.9  # That is asked for at 17 s.
  seen[12] = 0
  arrays = {'visual_2d': seen, 'spectrogram': np.zeros((0, 40))}
  question = np.eye(30, dtype=np.float32)[3]
  window = Window('a.mp4', 10.0, 20.0)
  curve = best_seconds.curve(_embed, arrays, window, 'video', question)
  assert curve.seconds.tolist() == list(range(10, 20))
  assert curve.best == 17
  np.testing.assert_allclose(curve.scores[7], 0.9)
  assert np.isnan(curve.scores[2])
  assert curve.text() == '▁▁ ▁▁▁▁█▁▁'
  last = Window('a.mp4', 25.0, 30.0)
  assert (
    best_seconds.curve(_embed, arrays, last, 'video', question).seconds[-1]
    == 29
  )
  short = {'visual_2d': seen[:1], 'spectrogram': np.zeros((0, 40))}
  first = Window('a.mp4', 0.0, 1.0)
  assert best_seconds.curve(_embed, short, first, 'video', question) is None


def _answers(*, chance=0.1, **changes):
  curve = best_seconds.Curve(np.arange(3.0), np.array([1, np.nan, 2.0]))
  items = [
    Answer('山/é.mp4', 3600.0, 3610.0, 12.345, 0.004, chance, chance <= 0.25,
           True, curve),
    Answer('b\x1b[2J.png', 0.0, 0.0, 3.0, 0.0, chance + 0.4, False, False),
  ]  # fmt: skip
  values = {
    'question': 'q.wav',
    'branch': 'audio',
    'among': 'video',
    'items': items,
    'threshold': 0.25,
    'background': 400,
    'source': 'made up',
    'media_dir': pathlib.Path('/media'),
  }
  return Answers(**{**values, **changes})


def test_a_table_says_where_and_how_sure():
  lines = _answers().table().splitlines()
  assert lines[0] == 'Answers to q.wav:'
  assert lines[3].split() == [
    *('1', '山/é.mp4', '1:00:00-1:00:10', '12.35', '0.4', '%', '10.0', '%'),
    *('0:02', '▁', '█'),
  ]
  assert lines[4].split() == [
    *('2', 'b?[2J.png', '(moved', 'away)', '3', '<', '0.2', '%', '50.0', '%')
  ]
  # A terminal gives 山 two columns.
  assert lines[2].index('score') - 1 == lines[3].index('12.35')
  assert '400 background questions (made up)' in lines[6]
  assert 'no longer in /media' in lines[7]


def test_a_table_says_that_nothing_fits():
  table = _answers(chance=0.3).table()
  assert table.startswith('Nothing fits q.wav: more than 25 % of the')
  assert '山/é.mp4' in table  # the nearest
  unknown = Answer('a', 0.0, 1.0, 1.0, None, None, True, None)
  table = _answers(items=[unknown], background=0).table()
  assert 'nothing can be said' in table
  assert table.splitlines()[3].split() == ['1', 'a', '0:00-0:01', '1', '?', '?']
  assert 'Nothing in the index' in _answers(items=[]).table()


def test_json_has_the_numbers():
  found = json.loads(_answers(chance=0.3).to_json())
  assert found['nothing_fits'] is True
  assert found['background'] == {'count': 400, 'source': 'made up'}
  first, second = found['answers']
  assert first == {
    'path': '山/é.mp4',
    'start': 3600.0,
    'end': 3610.0,
    'score': 12.345,
    'share': 0.004,
    'chance': 0.3,
    'fits': False,
    'is_there': True,
    'best_second': 2.0,
    'curve': {'seconds': [0.0, 1.0, 2.0], 'scores': [1.0, None, 2.0]},
  }
  assert (second['curve'], second['best_second']) == (None, None)


def test_times_and_shares_as_text():
  assert answers.clock(59.9) == '0:59'
  assert answers.span(7.5, 17.2) == '0:07-0:18'
  assert answers.percent(0.0, 200) == '< 0.5 %'
  assert answers.percent(1.0, 200) == '100.0 %'
