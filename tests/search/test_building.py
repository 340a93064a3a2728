"""Folders of media become indexes, and what changes is brought up to date."""

import json

import numpy as np
import pytest

from avl_jax.search.index import Index


def _rows(folder):
  """path -> (windows, vectors) of an index."""
  with Index.open(folder) as index:
    found = {}
    for file in index.files():
      rows = index.rows_of(file.path)
      held = {
        name: index.vectors(
          name, [r for r in rows if r in index.rows_with(name)]
        )
        for name in index.description.names
      }
      spans = [index.window(row) for row in rows]
      found[file.path] = [(w.start, w.end) for w in spans], held
    return found


def test_windows_of_every_kind_of_file(good_index):
  found = _rows(good_index)
  print(found.keys())
  assert found['a.mp4'][0] == [(0, 3)]
