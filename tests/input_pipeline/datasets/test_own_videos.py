"""Own videos in a folder: records, tables, and what a second run does."""

import csv
import json
import os
import shutil

import numpy as np
import pytest

import input_pipeline
from avl_jax.errors import UserError
from avl_jax.features import audio, clips
from input_pipeline.datasets.own_videos import examples, splits
from input_pipeline.records import reader
from tests.helpers import media, own_folder

NAME = 'own_videos/untrimmed'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('own') / 'media'
  own_folder.write_good(folder)
  own_folder.write_bad(folder)
  return folder


@pytest.fixture(scope='module')
def data_dir(folder, tmp_path_factory):
  data_dir = tmp_path_factory.mktemp('records')
  own_folder.prepare(folder, data_dir)
  return data_dir


@pytest.fixture
def own(folder, data_dir, tmp_path):
  """A copy of both, to change: (folder, data_dir)."""
  shutil.copytree(folder, tmp_path / 'media', symlinks=True)
  shutil.copytree(data_dir, tmp_path / 'data')
  return tmp_path / 'media', tmp_path / 'data'


def _table(data_dir, name='files.csv'):
  path = own_folder.records(data_dir) / name
  with path.open(newline='', encoding='utf-8') as file:
    return {row['path']: row for row in csv.DictReader(file)}


def _read(data_dir, split):
  data = reader.Records((NAME,), (split,), str(data_dir))
  return {e['id'].decode(): e for e in data.read(range(len(data)))}


def test_every_file_has_a_line(folder, data_dir):
  table = _table(data_dir)
  statuses = dict.fromkeys(own_folder.GOOD, 'ok') | own_folder.BAD
  assert {path: row['status'] for path, row in table.items()} == statuses
  for path, row in table.items():
    is_good = path in own_folder.GOOD
    assert bool(row['reason']) != is_good
    assert str(folder) not in row['reason']
    assert bool(row['split']) == is_good
    if is_good:
      assert float(row['seconds']) == pytest.approx(
        own_folder.GOOD[path], abs=0.2
      )
      assert len(row['digest']) == 64
  assert table['copy of a.mkv']['reason'] == 'The same content as a.mkv.'


def test_availability_says_what_was_there(data_dir):
  found = _table(data_dir, 'availability.csv')
  absent = {path for path, row in found.items() if row['available'] == 'no'}
  assert absent == {
    *('a folder elsewhere', 'gone.mp4', 'linked.mp4'),
  }
  assert {row['digest'] for row in found.values()} == {
    row['digest'] for row in _table(data_dir).values()
  }


def test_training_records_are_whole_videos(folder, data_dir):
  table, examples = _table(data_dir), _read(data_dir, 'train')
  ids = {path for path, row in table.items() if row['split'] == 'train'}
  assert examples.keys() == ids
  assert len(ids) == 3
  for path, example in examples.items():
    whole = audio.log_mel_spectrogram(audio.read_audio(folder / path))
    spectrogram = example['spectrogram']
    assert spectrogram.dtype == np.float16
    assert len(spectrogram) >= len(whole) - 20
    np.testing.assert_allclose(
      spectrogram, whole[: len(spectrogram)], atol=0.04
    )
    rows = own_folder.Extractor()(folder / path, 0, None)['visual_2d']
    np.testing.assert_array_equal(example['visual_2d'], rows)
    assert example['group'].decode() == table[path]['digest']


def test_held_out_records_are_windows_as_training_cuts_them(folder, data_dir):
  lengths = {s: [*examples.windows(s)] for s in (3.0, 14.9, 15.0, 26.0)}
  assert lengths == {
    3.0: [(0, 3.0)],
    14.9: [(0, 10.0)],
    15.0: [(0, 10.0), (10, 15.0)],
    26.0: [(0, 10.0), (10, 20.0), (20, 26.0)],
  }
  extractor = own_folder.Extractor()
  whole = audio.log_mel_spectrogram(audio.read_audio(folder / 'long.mp4'))
  video = {
    'spectrogram': whole.astype(np.float16),
    **extractor(folder / 'long.mp4', 0, None),
  }
  for start, end in examples.windows(26.0)[:2]:
    record = examples.cut(video, start, end)
    clip = clips.whole_clip(record, 1000)
    expected = clips.cut_window(video, start, end, 1000)
    np.testing.assert_array_equal(clip['visual'], expected['visual'])
    np.testing.assert_array_equal(clip['spectrogram'], expected['spectrogram'])
  for split in ('val', 'test'):
    for name, example in _read(data_dir, split).items():
      path, _, start = name.rpartition('@')
      assert _table(data_dir)[path]['split'] == split
      assert example['start'] == int(start)


def test_training_cuts_clips_from_them(data_dir):
  batches = input_pipeline.train_batches(
    datasets=(NAME,),
    split='train',
    batch_size=2,
    clips_per_example=3,
    num_frames=100,
    augmentation={},
    distinct_groups=False,
    seed=1,
    data_dir=str(data_dir),
  )
  (batch,) = batches.from_step(0, 1)
  assert batch['spectrogram'].shape == (6, 100, 40)
  assert batch['visual'].shape == (6, own_folder.WIDTH)
  assert batches.networks == own_folder.NETWORKS


def test_a_second_run_extracts_and_writes_nothing(folder, own, capsys):
  own_folder.age(own[0])
  own_folder.prepare(*own)
  times = {p: p.stat().st_mtime_ns for p in own[1].rglob('*.array_record*')}
  reads = (own[1] / 'extracted/own_videos/digests.json').stat().st_mtime_ns
  capsys.readouterr()
  assert not own_folder.prepare(*own).calls
  assert times == {p: p.stat().st_mtime_ns for p in times}
  again = (own[1] / 'extracted/own_videos/digests.json').stat().st_mtime_ns
  assert again == reads  # Nothing was read again.
  assert 'up to date' in capsys.readouterr().out


def test_only_what_is_new_is_extracted(own, capsys):
  root, data_dir = own
  before, fingerprint = _table(data_dir), _fingerprint(data_dir)
  old = own_folder.records(data_dir)
  media.write(root / 'new.mp4', own_folder.tone(9, 3), seconds=3)
  (root / 'a.mkv').rename(root / 'moved.mkv')
  (root / 'copy of a.mkv').unlink()
  victim = next(
    path
    for path, row in before.items()
    if row['split'] == 'train' and path != 'a.mkv'
  )
  (root / victim).unlink()
  assert own_folder.prepare(root, data_dir).calls == ['new.mp4']
  after = _table(data_dir)
  assert after['new.mp4']['status'] == after['moved.mkv']['status'] == 'ok'
  assert victim not in after
  assert not old.exists()
  assert after['moved.mkv']['digest'] == before['a.mkv']['digest']
  printed = capsys.readouterr().out
  for text in ('1 added (new.mp4)', '1 moved (moved.mkv)', f'1 gone ({victim}'):
    assert text in printed
  ids = {i for s in splits.NAMES for i in _read(data_dir, s)}
  assert {i.partition('@')[0] for i in ids} == {
    path for path, row in after.items() if row['status'] == 'ok'
  }
  assert _fingerprint(data_dir) != fingerprint


def _fingerprint(data_dir):
  return reader.Records((NAME,), splits.NAMES, str(data_dir)).fingerprint


def test_a_changed_file_of_the_same_size_changes_the_fingerprint(own):
  root, data_dir = own
  fingerprint, table = _fingerprint(data_dir), _table(data_dir)
  first, second = [p for p, r in table.items() if r['split'] == 'train'][:2]
  os.rename(root / first, root / 'other.mkv')
  os.rename(root / second, root / first)
  os.rename(root / 'other.mkv', root / second)
  assert not own_folder.prepare(root, data_dir).calls
  assert _fingerprint(data_dir) != fingerprint
  os.rename(root / first, root / 'other.mkv')
  os.rename(root / second, root / first)
  os.rename(root / 'other.mkv', root / second)
  assert not own_folder.prepare(root, data_dir).calls
  assert _fingerprint(data_dir) == fingerprint


def test_an_unreadable_file_that_is_mended_is_taken(own):
  root, data_dir = own
  media.write(root / 'cut.mp4', own_folder.tone(12, 3), seconds=3)
  assert own_folder.prepare(root, data_dir).calls == ['cut.mp4']
  assert _table(data_dir)['cut.mp4']['status'] == 'ok'


def test_records_of_other_networks_are_not_extended(own):
  other = {'visual_2d': 'resnet152:0123456789abcdef'}
  with pytest.raises(UserError, match=r'efficientnet_lite0.*names resnet152:0'):
    own_folder.prepare(*own, names=other)
  assert _read(own[1], 'train')


def test_another_collection_does_not_replace_the_records(own, tmp_path):
  other = tmp_path / 'other'
  for number in range(3):
    tone = own_folder.tone(30 + number, 3)
    media.write(other / f'{number}.mp4', tone, seconds=3)
  with pytest.raises(UserError, match=r'of other videos.*--config\.data_dir'):
    own_folder.prepare(other, own[1])
  assert _read(own[1], 'train')


def test_networks_are_beside_the_records(data_dir):
  path = own_folder.records(data_dir) / 'networks.json'
  assert json.loads(path.read_text()) == own_folder.NETWORKS
  assert reader.Records((NAME,), ('train',), str(data_dir)).networks == (
    own_folder.NETWORKS
  )


def test_the_number_of_videos_of_a_gallery(data_dir):
  evaluation = {'datasets': (NAME,), 'splits': ('val', 'test')}
  batches = input_pipeline.eval_batches(
    evaluations={'own': evaluation},
    batch_size=4,
    num_frames=1000,
    data_dir=str(data_dir),
  )['own']
  assert batches.num_videos == 2
  assert batches.networks == own_folder.NETWORKS
