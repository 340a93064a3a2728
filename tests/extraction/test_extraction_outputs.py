"""Outputs of an extraction: those of the networks, keys of its cache."""

import os
import shutil

import numpy as np
import pytest

from avl_jax.extraction.video_features import Extraction
from avl_jax.features import MediaError, SilentMediaError
from tests.helpers import media, own_folder


class _Extractor(own_folder.Extractor):
  def __call__(self, path, *arguments):
    rows = super().__call__(path, *arguments)['visual_2d']
    grid = np.broadcast_to(
      rows[:, None, None], (len(rows), 2, 3, rows.shape[1])
    )
    return {'visual_2d': rows, 'visual_2d_grid': grid}


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  path = tmp_path_factory.mktemp('video') / 'a.mp4'
  media.write(path, own_folder.tone(1, 3), seconds=3)
  return path


def _extraction(folder, **options):
  extractor = _Extractor()
  widths = {'visual_2d': own_folder.WIDTH}
  return extractor, Extraction(extractor, widths, folder, **options)


def test_the_grid_needs_no_second_extraction(path, tmp_path):
  pooled, extract_pooled = _extraction(tmp_path)
  assert extract_pooled(path).keys() == {'spectrogram', 'visual_2d'}
  both, extract_both = _extraction(tmp_path, outputs=('pooled', 'grid'))
  found = extract_both(path)
  assert found['visual_2d_grid'].shape == (3, 2, 3, own_folder.WIDTH)
  assert (len(pooled.calls), len(both.calls)) == (1, 1)
  # Now the cached file has all that either asks for.
  assert extract_pooled(path).keys() == {'spectrogram', 'visual_2d'}
  again = extract_both(path)
  assert (len(pooled.calls), len(both.calls)) == (1, 1)
  for name, array in found.items():
    np.testing.assert_array_equal(again[name], array)


def test_the_cache_is_keyed_by_content_if_it_is_given(path, tmp_path):
  extractor, extract = _extraction(tmp_path / 'cache')
  other = tmp_path / 'other name.mp4'
  shutil.copy(path, other)
  os.utime(other, (1, 1))
  first = extract(path, content='digest')
  np.testing.assert_array_equal(
    extract(other, content='digest')['visual_2d'], first['visual_2d']
  )
  assert extractor.calls == ['a.mp4']
  extract(other)
  extract(other, content='another digest')
  assert len(extractor.calls) == 3


def test_pieces_ahead_are_those_that_are_asked_for(path, tmp_path):
  broken = tmp_path / 'broken.mp4'
  broken.write_bytes(path.read_bytes()[:2000])
  pieces = [(path, i, i + 1, np.float32) for i in range(3)]
  pieces += [(path, 60, 62, np.float32), (broken, 0, 1, np.float32)]
  found = []
  for workers in (1, 2):
    extractor, extract = _extraction(tmp_path / str(workers), workers=workers)
    extract.ahead('pieces', [*pieces, (tmp_path / 'gone', 0, 1, np.float32)])
    assert bool(extractor.calls) == (workers > 1)
    outcomes = []
    for piece in pieces:
      try:
        outcomes.append(extract(*piece))
      except MediaError as error:
        outcomes.append((type(error), str(error)))
    assert len(extractor.calls) <= len(pieces)
    found.append(outcomes)
  np.testing.assert_equal(found[1], found[0])
  assert [isinstance(x, dict) for x in found[1]] == [True] * 3 + [False] * 2


def test_the_time_is_counted_by_parts(path, tmp_path):
  _, extract = _extraction(tmp_path)
  assert not extract.seconds
  extract(path)
  assert set(extract.seconds) == {'sound', 'features', 'writing'}
  before = dict(extract.seconds)
  extract(path)
  assert extract.seconds == before
  assert all(seconds > 0 for seconds in before.values())


def test_silence_is_skipped_if_asked(tmp_path):
  path = tmp_path / 'silent.mp4'
  media.write(path, np.zeros(32_000), seconds=2)
  _, extract = _extraction(tmp_path / 'cache', skip_silent=True)
  with pytest.raises(SilentMediaError):
    extract(path)
  _, extract = _extraction(tmp_path / 'cache')
  assert len(extract(path)['visual_2d']) == 2
