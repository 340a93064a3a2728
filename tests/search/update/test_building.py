"""Folders of media become indexes, and what changes is brought up to date."""

import os
import shutil

import numpy as np
import pytest

import avl_jax
from avl_jax import trained_model
from avl_jax.features import clips
from avl_jax.search.store.index import Index
from avl_jax.search.update import building, description
from avl_jax.search.update.file_features import FileFeatures
from input_pipeline.datasets.own_videos import examples
from tests.helpers import media, own_folder, small_run
from tests.helpers.search.contents import KINDS, assert_same, contents
from tests.search.conftest import make_run

ODD = os.fsdecode(b'\xe9t\xe9.png')  # is not UTF-8


def test_windows_of_every_kind_of_file(good_index):
  found = {
    path: (spans, len(held['video']), len(held['audio']))
    for path, (_, spans, held) in contents(good_index).items()
  }
  for path, (spans, *counts) in KINDS.items():
    np.testing.assert_allclose(found[path][0], spans, atol=0.05)
    assert [*found[path][1:]] == counts
  assert found.keys() == KINDS.keys()
  with Index.open(good_index) as index:
    remarks = {file.path: file.remarks for file in index.files()}
    seconds = {file.path: file.seconds for file in index.files()}
  assert remarks.pop('mute.mp4') == ('no sound that is audible',)
  assert remarks.pop('sound.flac') == ('no picture',)
  assert not any(remarks.values())
  assert seconds['sub/picture.png'] == 0
  assert seconds['long.mp4'] == 26


@pytest.mark.usefixtures('networks')
def test_vectors_are_those_of_the_clips(good_index, good_media, run):
  trained = avl_jax.load(run)
  held = contents(good_index)
  with Index.open(good_index) as index:
    networks = index.description.networks
    files = {file.path: file for file in index.files()}
  features = FileFeatures(good_index, networks)
  arrays = features.kept('long.mp4', files['long.mp4'].content)
  assert {name: x.shape for name, x in arrays.items()} == {
    'spectrogram': (arrays['spectrogram'].shape[0], 40),
    'visual_2d': (26, small_run.WIDTH),
  }
  arrays = clips.trim(arrays, clips.length(arrays))
  _, spans, vectors = held['long.mp4']
  for i, (start, end) in enumerate(spans):
    clip = clips.whole_clip(examples.cut(arrays, int(start), end), 1000)
    expected = trained.model.apply(
      trained.variables, {key: x[None] for key, x in clip.items()}, train=False
    )
    for name in ('audio', 'video'):
      np.testing.assert_allclose(
        vectors[name][i], expected[name][0], rtol=1e-4, atol=1e-6
      )
  assert np.abs(np.diff(vectors['audio'], axis=0)).max() > 1e-3
  picture = good_media / 'sub/picture.png'
  expected = avl_jax.embed(trained, image=picture)['video']
  np.testing.assert_allclose(
    held['sub/picture.png'][2]['video'], expected, rtol=1e-5
  )


def test_nothing_has_changed(make_index, good_media, index_dir, capsys):
  def facts():
    return {
      path: (path.read_bytes(), path.stat().st_ino)
      for path in index_dir.iterdir()
      if path.is_file() and path.name != 'lock' and path.suffix != '.json'
    }

  before = facts()
  assert len(before) > 3
  assert make_index(good_media, index_dir) == []
  assert facts() == before
  printed = capsys.readouterr().out
  assert 'This time: nothing has changed' in printed
  assert '6 files of 0.02 hours in 13 windows of 10 s every 5 s' in printed


def test_only_what_changes_is_decoded(make_index, media_dir, index_dir, capsys):
  """New, changed, moved, swapped, touched and deleted files."""
  before = contents(index_dir)
  media.write(media_dir / 'new.mp4', own_folder.tone(11, 4), seconds=4)
  media.write(media_dir / 'long.mp4', own_folder.tone(12, 13), seconds=13)
  (media_dir / 'a.mp4').rename(media_dir / 'swap')
  (media_dir / 'sub/b.mkv').rename(media_dir / 'a.mp4')
  (media_dir / 'swap').rename(media_dir / 'sub/b.mkv')
  (media_dir / 'sub/picture.png').rename(media_dir / ODD)
  os.utime(media_dir / 'mute.mp4')
  (media_dir / 'sound.flac').unlink()
  assert make_index(media_dir, index_dir) == ['long.mp4', 'new.mp4']
  found = contents(index_dir)
  printed = capsys.readouterr().out
  assert 'This time: 1 new, 1 changed, 3 moved, 1 gone, in' in printed
  assert_same(found.pop('mute.mp4'), before['mute.mp4'])
  assert_same(found.pop('a.mp4'), before['sub/b.mkv'])
  assert_same(found.pop('sub/b.mkv'), before['a.mp4'])
  assert_same(found.pop(ODD), before['sub/picture.png'])
  assert found.pop('new.mp4')[1] == [(0, 4)]
  assert found.pop('long.mp4')[1] == [(0, 10), (5, 13)]
  assert not found
  # Young files are read again, and found to be the same.
  assert make_index(media_dir, index_dir) == []
  assert contents(index_dir)['new.mp4'][1] == [(0, 4)]
  with Index.open(index_dir) as index:
    kept = {(file.path, file.content) for file in index.files()}
    networks = index.description.networks
  features = FileFeatures(index_dir, networks)
  assert all(features.kept(*file) for file in kept)
  assert len(list((index_dir / 'extracted').rglob('*.npz'))) == len(kept)


def test_a_file_has_the_same_vectors_in_any_company(
  make_index, media_dir, good_index, fresh_dir
):
  """Down to the last bit."""
  for path in media_dir.rglob('*'):
    if path.is_file() and path.name not in ('long.mp4', 'sound.flac'):
      path.unlink()
  make_index(media_dir, fresh_dir)
  found, expected = contents(fresh_dir), contents(good_index)
  assert found.keys() == {'long.mp4', 'sound.flac'}
  for path, (_, spans, held) in found.items():
    assert_same(([], spans, held), ([], *expected[path][1:]))


def test_of_equal_files_one_is_indexed(
  make_index, media_dir, index_dir, capsys
):
  before = contents(index_dir)
  shutil.copy(media_dir / 'a.mp4', media_dir / '0.mp4')
  assert make_index(media_dir, index_dir) == []
  assert contents(index_dir).keys() == before.keys()
  assert 'duplicate: 0.mp4: The same content as a.mp4.' in (
    capsys.readouterr().out
  )
  (media_dir / 'a.mp4').unlink()
  assert make_index(media_dir, index_dir) == []
  assert_same(contents(index_dir)['0.mp4'], before['a.mp4'])


def test_the_folder_may_move(make_index, media_dir, index_dir, tmp_path):
  assert make_index(media_dir, index_dir) == []
  assert building.media_dir_of(index_dir) == media_dir
  other = media_dir.rename(tmp_path / 'elsewhere')
  assert make_index(other, index_dir) == []
  assert building.media_dir_of(index_dir) == other
  assert contents(index_dir).keys() == KINDS.keys()


def test_half_precision_and_sums(make_index, good_media, good_index, fresh_dir):
  names = "--config.search.names=('sum','audio')"
  half = '--config.search.dtype=float16'
  assert make_index(good_media, fresh_dir, names, half) == []
  whole, found = contents(good_index), contents(fresh_dir)
  assert [*found['mute.mp4'][2]['sum']] == []
  assert len(found['sound.flac'][2]['audio']) == 3
  assert len(found['sound.flac'][2]['sum']) == 0
  for path in ('a.mp4', 'long.mp4'):
    both = whole[path][2]['audio'] + whole[path][2]['video']
    np.testing.assert_allclose(
      found[path][2]['sum'], both, rtol=2e-3, atol=1e-5
    )
  with Index.open(fresh_dir) as index:
    assert index.description.names == ('sum', 'audio')
    assert index.description.dtype == 'float16'


def test_models_with_one_video_branch_share_its_fingerprint(
  tmp_path, networks, run
):
  trained = trained_model.load(run)
  other = trained_model.load(make_run(tmp_path / 'other', seed=4))
  kinds = {'window': 10, 'step': 5, 'names': ('video',), 'dtype': 'float32'}
  mine, theirs = (description.describe(t, **kinds) for t in (trained, other))
  assert mine.model != theirs.model
  assert mine.branch != theirs.branch
  assert mine.networks == {'visual_2d': 'efficientnet_lite0'}
  head = trained.variables['params']['video_head']
  other.variables['params']['video_head'] = head
  shared = description.describe(other, **kinds)
  assert shared.branch == mine.branch
  assert shared.model != mine.model
