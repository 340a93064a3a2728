"""Contents of an index, and those expected of the folder of media in tests."""

import numpy as np

from avl_jax.search.store.index import Index

KINDS = {  # path -> windows, with pictures, with sound
  'a.mp4': ([(0, 3)], 1, 1),
  'long.mp4': ([(0, 10), (5, 15), (10, 20), (15, 25), (20, 26)], 5, 5),
  'mute.mp4': ([(0, 7)], 1, 0),
  'sound.flac': ([(0, 10), (5, 15), (10, 17)], 0, 3),
  'sub/b.mkv': ([(0, 10), (5, 12)], 2, 2),
  'sub/picture.png': ([(0, 0)], 1, 0),
}


def contents(folder):
  """path -> (rows, windows, {name: vectors})."""
  with Index.open(folder) as index:
    assert not index.check()
    found = {}
    for file in index.files():
      rows = index.rows_of(file.path)
      held = {
        name: index.vectors(name, np.intersect1d(rows, index.rows_with(name)))
        for name in index.description.names
      }
      spans = [(w.start, w.end) for w in map(index.window, rows)]
      found[file.path] = list(rows), spans, held
    return found


def assert_same(found, expected):
  """The same rows, windows, and vectors, bit for bit."""
  assert found[:2] == expected[:2]
  for name, vectors in expected[2].items():
    np.testing.assert_array_equal(found[2][name], vectors)
