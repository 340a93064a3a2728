"""Answers of an index, computed by a loop, and the first of its answers."""

import pytest


def best(searcher, name, vector):
  """Path, start and score of the best window, by a loop."""
  index = searcher.index
  rows = index.rows_with(name)
  scores = index.vectors(name, rows) @ vector
  window = index.window(int(rows[scores.argmax()]))
  return window.path, window.start, pytest.approx(scores.max(), rel=1e-4)


def first(answers):
  """Path, start and score of the first answer."""
  answer = answers.items[0]
  return answer.path, answer.start, answer.score
